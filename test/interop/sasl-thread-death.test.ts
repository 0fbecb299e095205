import { expect } from 'chai'
import { MESSAGE, STATUS } from '#protocol/header.js'
import { encodeSaslStep } from '#protocol/messages/auth.js'
import { encodeText } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { clientEnv } from '../support/clients.js'
import { pattern } from '../support/pattern.js'
import { printed, Program } from '../support/processes.js'
import { threadCount } from '../support/process-state.js'
import { SaslFiles } from '../support/sasl.js'
import { expectComplete, expectRefused, login, mechanisms, start } from '../support/sasl-login.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const killer = new URL('../support/thread-killer.js', import.meta.url).href

describe('the SASL thread that dies', () => {
  const cleanup = new Cleanup()
  let sasl: SaslFiles
  let stage: Stage
  let threads: number

  before(async () => {
    sasl = await SaslFiles.create(cleanup, 'digest-md5 scram-sha-256 plain')
    await sasl.addUser('fred', 'secret')
    const conf = { auth_tcp: 'sasl', auth_unix_rw: 'sasl', actor_threads: 2 }
    stage = await sasl.inUse(() => Stage.start(cleanup, conf, { nodeOptions: ['--import', killer] }))
    threads = threadCount(stage.broker.program.pid)
  })
  after(() => cleanup.run())

  const deaths = (): number => stage.broker.program.stderr.match(/the SASL thread died \(a test wants this/g)?.length ?? 0
  const kill = (): void => void process.kill(stage.broker.program.pid, 'SIGPWR')

  /** virsh with encryption by SASL. */
  async function encrypted(): Promise<Program> {
    const env = { ...clientEnv, LIBVIRT_AUTH_FILE: await sasl.credentials('fred', 'secret') }
    const virsh = new Program(['virsh', '-q', '-c', stage.broker.tcpUri('qemu', '/system')], { env })
    cleanup.defer(() => virsh.stop())
    virsh.child.stdin.write('uri\n')
    await printed(virsh, /qemu\+tcp/)
    return virsh
  }

  it('takes logins in progress with it, and nobody who is in', async () => {
    const inside = await stage.connect(stage.broker.socket)
    expectComplete(await login(inside, 'fred', 'secret'))
    await inside.open('qemu:///system')
    const virsh = await encrypted()
    const halfway = await stage.connect(stage.broker.socket)
    await mechanisms(halfway)
    const opening = await start(halfway, 'SCRAM-SHA-256', Buffer.from('n,,n=fred,r=fyko+d2lbbFgONRv9qkxdawL'))
    expect(opening.status).to.equal(STATUS.ok)

    kill()
    // It may have been replaced before anybody has looked.
    await waitFor('its death', () => threadCount(stage.broker.program.pid) < threads || deaths() === 1)
    const late = await stage.connect(stage.broker.socket)
    const asked = late.post(REMOTE.authSaslInit)
    await waitFor('its replacement', () => deaths() === 1)
    // Refused, as what it was asked died with the thread, unless the machine was slower than the replacement.
    await late.next({ type: MESSAGE.reply, serial: asked })
    expect((await inside.call(REMOTE.domainGetXmlDesc, pattern(30))).payload).to.deep.equal(pattern(30))
    stage.driver.on(REMOTE.connectGetCapabilities, () => encodeText('<still-served/>'))
    virsh.child.stdin.write('capabilities\n')
    await printed(virsh, /still-served/)
    expectRefused(await halfway.call(REMOTE.authSaslStep, encodeSaslStep(Buffer.from('c=biws'))))
    // Whoever was refused is let in by the next.
    expectComplete(await login(halfway, 'fred', 'secret'))
    expectComplete(await login(await stage.connect(stage.broker.socket), 'fred', 'secret'))
    await encrypted()
  })

  it('is replaced as often as that happens', async () => {
    for (let time = 2; time <= 4; time++) {
      kill()
      await waitFor('its replacement', () => deaths() === time)
      // The fewest clients decide about the thread, so these come to both.
      for (const name of ['fred', 'ghost', 'fred', 'fred']) {
        const client = await stage.connect(stage.broker.socket)
        const reply = await login(client, name, 'secret')
        if (name === 'fred') expectComplete(reply)
        else expectRefused(reply)
      }
      await encrypted()
    }
    await waitFor('as many threads as before', () => threadCount(stage.broker.program.pid) === threads)
  })
})
