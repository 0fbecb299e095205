import { decodeError } from '#protocol/errors.js'
import { HEADER_BYTES } from '#protocol/header.js'

/** What an error reply says, as far as it came with the first read. */
export function errorMessage(bytes: Buffer, bodyAt: number, length: number): string {
  try {
    return decodeError(bytes, bodyAt, bodyAt + length - HEADER_BYTES).message
  } catch {
    return 'an error that cannot be read'
  }
}
