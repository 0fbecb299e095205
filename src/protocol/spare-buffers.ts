/** What `takeLarge` gives, in bytes. */
export const LARGE_BYTES = 1024 * 1024
const MAX_SPARES = 4
/** What `takeSmall` gives, in bytes: most calls are shorter. */
export const SMALL_BYTES = 256
const MAX_SMALL_SPARES = 1024

const spares: Buffer[] = []
const smallSpares: Buffer[] = []

/**
 * Memory for a large frame, not zeroed, shared by all readers of a thread. It is used again, because fresh memory costs a
 * page fault for each 4 KiB, which is several times the cost of filling it. Only what is filled becomes resident.
 */
export const takeLarge = (): Buffer => spares.pop() ?? Buffer.allocUnsafeSlow(LARGE_BYTES)

/** Memory for a short frame, used again like that for large ones: fresh memory costs as much as passing the frame on. */
export const takeSmall = (): Buffer => smallSpares.pop() ?? Buffer.allocUnsafeSlow(SMALL_BYTES)

/** Nobody looks at the buffer any more, which may come from `takeSmall`. */
export function giveBackSmall(buffer: Buffer): void {
  if (buffer.length === SMALL_BYTES && smallSpares.length < MAX_SMALL_SPARES) smallSpares.push(buffer)
}

/** Nobody looks at the buffer any more, wherever it comes from. */
export function giveBack(buffer: Buffer): void {
  if (buffer.length === LARGE_BYTES && spares.length < MAX_SPARES) spares.push(buffer)
}
