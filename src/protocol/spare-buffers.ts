/** What `takeLarge` gives, in bytes. */
export const LARGE_BYTES = 1024 * 1024
const MAX_SPARES = 4

const spares: Buffer[] = []

/**
 * Memory for a large frame, not zeroed, shared by all readers of a thread. It is used again, because fresh memory costs a
 * page fault for each 4 KiB, which is several times the cost of filling it. Only what is filled becomes resident.
 */
export const takeLarge = (): Buffer => spares.pop() ?? Buffer.allocUnsafeSlow(LARGE_BYTES)

/** Nobody looks at the buffer any more, wherever it comes from. */
export function giveBack(buffer: Buffer): void {
  if (buffer.length === LARGE_BYTES && spares.length < MAX_SPARES) spares.push(buffer)
}
