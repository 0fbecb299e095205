/** Names that peers give themselves: in certificates, and as users of SASL. */

const LONGEST_SHOWN = 256

/** For a line of the log: cut where it is long, and without characters that do not belong into a line. */
export function shown(name: string): string {
  const cut = name.length > LONGEST_SHOWN ? `${name.slice(0, LONGEST_SHOWN)}…` : name
  return cut.replace(/\p{C}/gu, '?')
}

/**
 * Whether a name holds control characters, or what stands for bytes that could not be read. Nobody is let in under such a
 * one: what is written in C reads it as ending at a NUL, so that it would be one name here and another at the driver
 * daemon; and of unreadable names any two would be the same.
 */
export const isDeceptive = (name: string): boolean => /[\p{Cc}\ufffd]/u.test(name)
