import { expect } from 'chai'
import { decodeError } from '#protocol/errors.js'
import { STATUS } from '#protocol/header.js'
import { decodeSaslMechanisms, decodeSaslReply, encodeSaslStart } from '#protocol/messages/auth.js'
import { REMOTE } from '#protocol/procedures.js'
import type { Frame } from './frame-socket.js'
import type { RawClient } from './raw-client.js'

/** What PLAIN sends: no other identity to act for, the name, the password. */
export const plain = (name: string, password: string): Buffer => Buffer.from(`\0${name}\0${password}`)

export async function mechanisms(client: RawClient): Promise<string> {
  const reply = await client.call(REMOTE.authSaslInit)
  expect(reply.status, 'status of SASL_INIT').to.equal(STATUS.ok)
  return decodeSaslMechanisms(reply.payload)
}

/** A whole login with PLAIN, from SASL_INIT. */
export async function login(client: RawClient, name: string, password: string): Promise<Frame> {
  await mechanisms(client)
  return start(client, 'PLAIN', plain(name, password))
}

export const start = (client: RawClient, mechanism: string, data: Buffer | undefined): Promise<Frame> =>
  client.call(REMOTE.authSaslStart, encodeSaslStart({ mechanism, data }))

/** The one answer to everything. */
export function expectRefused(reply: Frame, what?: string): void {
  expect(reply.status, what).to.equal(STATUS.error)
  const { code, domain, message, str1, str2 } = decodeError(reply.payload)
  expect({ code, domain, message, str2 }, what).to.deep.equal({
    code: 45, domain: 7, message: 'authentication failed: authentication failed', str2: 'authentication failed'
  })
  expect(str1, what).to.match(/^authentication failed: %/)
}

export function expectComplete(reply: Frame): void {
  expect(reply.status, 'status of the last reply').to.equal(STATUS.ok)
  expect(decodeSaslReply(reply.payload).complete).to.equal(true)
}
