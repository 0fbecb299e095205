/** The fields of an error in the order of the wire; those left out have their usual values. */
export interface ErrorFields {
  code: number
  domain: number
  message: string
  str1?: string
  str2?: string
  int1?: number
  int2?: number
}

const word = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

function text(value: string | undefined): Buffer {
  if (value === undefined) return word(0)
  const bytes = Buffer.from(value)
  return Buffer.concat([word(1), word(bytes.length), bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)])
}

/** The bytes of an error, put together by hand: the broker's own encoder must give the same. */
export function errorPayload({ code, domain, message, str1, str2, int1 = -1, int2 = -1 }: ErrorFields): Buffer {
  const [level, absent] = [word(2), word(0)]
  return Buffer.concat([
    word(code), word(domain), text(message), level, absent, text(str1), text(str2), absent, word(int1), word(int2), absent
  ])
}

/** Code 39 of the RPC layer, whose message is its own detail. */
export const rpcErrorPayload = (message: string): Buffer =>
  errorPayload({ code: 39, domain: 7, message, str1: '%s', str2: message })

/** Code 1 of the RPC layer. */
export const internalErrorPayload = (detail: string): Buffer =>
  errorPayload({ code: 1, domain: 7, message: `internal error: ${detail}`, str1: 'internal error: %1$s', str2: detail })

/** Code 38 of the RPC layer. */
export const systemErrorPayload = (errno: number, message: string): Buffer =>
  errorPayload({ code: 38, domain: 7, message, str1: '%s', str2: message, int1: errno })
