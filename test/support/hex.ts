/** Bytes written as in a capture: hexadecimal, blanks free. */
export function hex(text: string): Buffer {
  return Buffer.from(text.replace(/\s+/g, ''), 'hex')
}
