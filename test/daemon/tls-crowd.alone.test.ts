import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { freePort } from '../support/free-port.js'
import { longWay } from '../support/long-way.js'
import { Pki, type Credentials } from '../support/pki.js'
import { Program } from '../support/processes.js'
import { canConnect } from '../support/sockets.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const CROWD = new URL('../support/tls-crowd.js', import.meta.url).pathname
/** 4000 for as many as are said to come in. */
const CROWD_SIZE = Number(process.env['TLS_CROWD_SIZE'] ?? 300)

describe('TLS', function () {
  this.timeout(60_000 + 50 * CROWD_SIZE)
  const cleanup = new Cleanup()
  let pki: Pki
  let good: Credentials
  before(async () => {
    pki = await Pki.make(cleanup)
    good = await pki.client()
  })
  after(() => cleanup.run())

  async function start(maxHandshakes: number): Promise<{ stage: Stage; port: number }> {
    const port = await freePort()
    const { certificate, key } = await pki.server()
    const stage = await Stage.start(cleanup, {
      listen_tls: 1, tls_port: String(port), ca_file: pki.ca.certificate, cert_file: certificate, key_file: key,
      // Handshakes of a crowd compete with their own clients for this machine.
      login_timeout: 20, max_handshakes: maxHandshakes
    })
    await waitFor('the TLS listener', () => canConnect(port))
    return { stage, port }
  }

  function crowdAt(port: number, size: number): Program {
    const crowd = new Program([process.execPath, CROWD, String(port), good.certificate, good.key, String(size)])
    cleanup.defer(() => crowd.stop())
    return crowd
  }

  it('lets 500 clients in at once while the calls of others go on', async () => {
    const { stage, port } = await start(256)
    const { client } = await stage.open()
    const began = performance.now()
    const crowd = crowdAt(port, 500)
    const waits: number[] = []
    while (!crowd.ended) {
      const before = performance.now()
      await client.call(REMOTE.connectGetLibVersion)
      waits.push(performance.now() - before)
      await sleep(5)
    }
    const took = performance.now() - began
    expect(crowd.stdout).to.equal('500 let in\n')
    waits.sort((a, b) => a - b)
    const at = (part: number): number => waits[Math.floor(part * (waits.length - 1))]! / took
    expect(at(0.5), 'median wait, in parts of the time that all handshakes took').to.be.below(1 / 40)
    expect(at(0.95), '95th percentile').to.be.below(1 / 6)
  })

  it(`lets a crowd of ${CROWD_SIZE} in from one address, whose way is long, with few handshakes at a time`, async () => {
    const { stage, port } = await start(Math.min(256, CROWD_SIZE / 10))
    const crowd = crowdAt(await longWay(cleanup, port, 100), CROWD_SIZE)
    await crowd.exited
    expect(crowd.stdout).to.equal(`${CROWD_SIZE} let in\n`)
    await stage.broker.program.hasSaid(/tls: \d+ clients or more in their TLS handshake \(max_handshakes\): others wait/)
  })
})
