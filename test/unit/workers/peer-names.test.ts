import { once } from 'node:events'
import { MessageChannel } from 'node:worker_threads'
import { expect } from 'chai'
import type { Header } from '#protocol/header.js'
import type { Identity } from '#protocol/identity.js'
import { encodeSaslStart } from '#protocol/messages/auth.js'
import { REMOTE } from '#protocol/procedures.js'
import type { Applicant, AuthServices } from '#workers/auth/authentication.js'
import { SaslAuthentication } from '#workers/auth/sasl.js'
import { isDeceptive, shown } from '#workers/base/peer-names.js'
import type { SaslParameters } from '#workers/sasl/libsasl.js'
import type { ToSaslThread } from '#workers/sasl/messages.js'
import { SaslThreadClient } from '#workers/sasl/thread-client.js'

describe('names that peers give themselves', () => {
  it('are cut for the log before they are made readable', () => {
    expect(shown('CN=Käse')).to.equal('CN=Käse')
    expect(shown('a\nb\0c')).to.equal('a?b?c')
    expect(shown('\x01'.repeat(31_000))).to.equal(`${'?'.repeat(256)}…`)
    expect(shown('x'.repeat(256))).to.equal('x'.repeat(256))
    // Half of a pair is no character.
    expect(shown(`${'x'.repeat(255)}𝄞`)).to.equal(`${'x'.repeat(255)}?…`)
  })

  it('are told from those that are no text', () => {
    for (const name of ['CN=Käse ☃ 𝄞', 'fred@EXAMPLE', '', 'a\u00a0b']) expect(isDeceptive(name), name).to.equal(false)
    for (const name of ['a\0b', '\n', 'a\x7f', '\u009f', 'a\ufffd']) expect(isDeceptive(name)).to.equal(true)
  })

  /** What becomes of a client whose mechanism says that this is its name. */
  async function login(userName: string): Promise<{ log: string; identity: Identity | undefined }> {
    const { port1, port2 } = new MessageChannel()
    port2.on('message', ({ kind, id }: ToSaslThread) => {
      if (kind === 'begin') port2.postMessage({ id, mechanisms: 'PLAIN' })
      const success = { userName, strength: 256, maxOutput: 0, connection: 0 }
      if (kind === 'start') port2.postMessage({ id, data: undefined, success })
    })
    const thread = new SaslThreadClient()
    thread.connect(port1)
    const lines: string[] = []
    let identity: Identity | undefined
    const replied = new EventTarget()
    const applicant = {
      log: (_: string, line: string) => lines.push(line),
      reply: () => replied.dispatchEvent(new Event('reply')),
      refuse: () => replied.dispatchEvent(new Event('reply')),
      authenticated: (found: Identity) => (identity = found)
    } as unknown as Applicant
    const services = { thread: { settings: { saslAllowedUsers: ['*'] } }, sasl: thread } as unknown as AuthServices
    const sasl = new SaslAuthentication(applicant, services, undefined, {} as SaslParameters)
    const call = (proc: number, body: Buffer = Buffer.alloc(0)): Promise<unknown> => {
      const reply = once(replied, 'reply')
      sasl.take({ proc } as Header, body)
      return reply
    }
    await call(REMOTE.authSaslInit)
    await call(REMOTE.authSaslStart, encodeSaslStart({ mechanism: 'PLAIN', data: undefined }))
    thread.close()
    return { log: lines.join('\n'), identity }
  }

  it('let SASL users in that have one', async () => {
    expect(await login('fred')).to.deep.equal({ log: "SASL user 'fred', strength 256", identity: { saslUserName: 'fred' } })
  })

  it('do not let SASL users in whose name is no text, though a pattern allows it', async () => {
    for (const name of ['fred\n', 'admin\0.tenant', 'fred\ufffd']) {
      const { log, identity } = await login(name)
      expect(identity).to.equal(undefined)
      expect(log).to.match(/^SASL: SASL client identity '.*' holds characters that are not text$/)
    }
  })
})
