import { join } from 'node:path'
import { expect } from 'chai'
import { KIND, kindOf, PLAIN_KINDS } from '#protocol/call-kinds.js'
import { decodeError } from '#protocol/errors.js'
import { PROGRAM, STATUS } from '#protocol/header.js'
import { proceduresOf, REMOTE, type Procedure } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { policyName } from '#workers/policy/rules.js'
import { PrivateFiles } from '#workers/test-driver/private-files.js'
import { startTestDriver } from '#workers/test-driver/main.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import type { Frame } from '../support/frame-socket.js'
import { RawClient } from '../support/raw-client.js'
import { startReferenceDriver } from '../support/reference-driver.js'
import { tempDir } from '../support/temp-dir.js'

const domain = (): XdrWriter => new XdrWriter().string('test').fixed(Buffer.alloc(16)).i32(1)
const more = (xdr: XdrWriter): Buffer => Buffer.concat([xdr.finish(), Buffer.alloc(64)])
/** Empty strings and lists and no flags are arguments of nearly every call: daemons ignore what stands behind. */
const NOTHING = Buffer.alloc(256)
/** Where a function looks at its arguments before it looks at the connection. */
const ARGUMENTS: Readonly<Record<string, Buffer>> = {
  DOMAIN_SEND_PROCESS_SIGNAL: more(domain().u64(1n).u32(9)),
  DOMAIN_RENAME: more(domain().u32(1).string('other')),
  CONNECT_BASELINE_HYPERVISOR_CPU: more(new XdrWriter().u32(0).u32(0).u32(0).u32(0).u32(1).string('<cpu/>')),
  DOMAIN_SET_LAUNCH_SECURITY_STATE: more(domain().u32(1).string('x').u32(1).i32(1)),
  QEMU_DOMAIN_ATTACH: more(new XdrWriter().u32(1))
}
/** As above, and what it looks at cannot be had without more: descriptors, or a registration. */
const BEFORE_THAT = ['DOMAIN_OPEN_GRAPHICS', 'DOMAIN_FD_ASSOCIATE', 'QEMU_CONNECT_DOMAIN_MONITOR_EVENT_DEREGISTER']
/** Later than libvirt 9.0, which does not know them and says so. */
const LATER = [
  'NETWORK_SET_METADATA', 'NODE_DEVICE_UPDATE', 'DOMAIN_GRAPHICS_RELOAD', 'DOMAIN_SET_AUTOSTART_ONCE',
  'DOMAIN_SET_THROTTLE_GROUP', 'DOMAIN_ANNOUNCE_INTERFACE'
]
/** Let through by libvirt. */
const CHANGED = 'DOMAIN_DEL_THROTTLE_GROUP'
/** Answered as virtproxyd does it where clients share connections (docs/differences.md). */
const CLOSE_CALLBACK = 'CONNECT_UNREGISTER_CLOSE_CALLBACK'
/** Figures that move between two calls, and ids that a daemon counts for all its clients. */
const MOVING = [
  'NODE_GET_FREE_MEMORY', 'NODE_GET_CELLS_FREE_MEMORY', 'CONNECT_NODE_DEVICE_EVENT_REGISTER_ANY',
  'CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY', 'CONNECT_NETWORK_EVENT_REGISTER_ANY',
  'CONNECT_STORAGE_POOL_EVENT_REGISTER_ANY', 'CONNECT_SECRET_EVENT_REGISTER_ANY'
]

const calls = [PROGRAM.remote, PROGRAM.qemu, PROGRAM.lxc]
  .flatMap(program => proceduresOf(program))
  .filter(({ kind, program, number }) => kind === 'call' && kindOf(PLAIN_KINDS, program, number) !== KIND.local)

/** What was answered, as text. The template of an error's text is written in one of two ways, by release. */
function said(procedure: Procedure, { status, payload }: Frame): string {
  if (status !== STATUS.error) {
    return `status ${status}: ${MOVING.includes(policyName(procedure)) ? '' : payload.toString('hex')}`
  }
  const { code, domain: from, message, str1 = '', str2, str3, int1, int2 } = decodeError(payload)
  return JSON.stringify([code, from, message, str1.replaceAll('%1$s', '%s'), str2, str3, int1, int2])
}

/** Answers of all calls in order; a connection for each, because some leave something behind. */
async function answers(open: (cleanup: Cleanup) => Promise<RawClient>): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for (const procedure of calls) {
    const cleanup = new Cleanup()
    const client = await open(cleanup)
    const { program: prog, number } = procedure
    const name = policyName(procedure)
    found.set(name, said(procedure, await client.call(number, ARGUMENTS[name] ?? NOTHING, { prog })))
    await cleanup.run()
  }
  return found
}

describe('a read-only connection, next to one without a broker', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  const drivers: Record<string, { socket: string; broker: Broker }> = {}

  before(async () => {
    const dir = await tempDir(cleanup)
    const ours = join(dir, 'sock')
    const embedded = startTestDriver({ socketPath: ours, files: new PrivateFiles(join(dir, 'files')), onFailure: error => { throw error } })
    cleanup.defer(() => Promise.resolve(embedded.close()))
    for (const [name, socket] of Object.entries({ libvirt: await startReferenceDriver(cleanup), embedded: ours })) {
      drivers[name] = { socket, broker: await Broker.start(cleanup, { driver_sockets: [`test=${socket}`] }) }
    }
  })
  after(() => cleanup.run())

  const opening = (where: string | number, flags = 0) => async (its: Cleanup): Promise<RawClient> => {
    const client = await RawClient.connect(its, where)
    expect((await client.open('test:///default', flags)).status).to.equal(STATUS.ok)
    return client
  }
  const forbidden = (api: string): string =>
    JSON.stringify([29, 20, `operation forbidden: read only access prevents ${api}`, 'operation forbidden: %s',
      `read only access prevents ${api}`, null, -1, -1])

  /** What is answered otherwise because clients share connections. */
  function expectShared(broker: Broker, ours: ReadonlyMap<string, string>): string[] {
    if (broker.conf['driver_sharing'] === 'off') return []
    expect(ours.get(CLOSE_CALLBACK)).to.match(/A different callback was requested/)
    return [CLOSE_CALLBACK]
  }

  it('gets the same answers to every call, to the byte', async () => {
    const { socket, broker } = drivers['libvirt']!
    const direct = await answers(opening(`${socket}-ro`))
    const ours = await answers(opening(broker.roSocket))
    expect(ours.get(CHANGED)).to.equal(forbidden('virDomainDelThrottleGroup'))
    const others = calls.map(policyName).filter(name => direct.get(name) !== ours.get(name))
    const forbiddenHere = [...BEFORE_THAT, ...LATER, CHANGED]
    expect(others).to.have.members([...forbiddenHere, ...expectShared(broker, ours)])
    for (const name of LATER) expect(direct.get(name), name).to.match(/unknown procedure/)
    for (const name of forbiddenHere) expect(ours.get(name), name).to.match(/read only access prevents/)
    const refused = [...ours.values()].filter(answer => /read only access prevents/.test(answer))
    expect(refused).to.have.length.above(200)
  })

  it('gets the same answers of the embedded test driver', async () => {
    const { socket, broker } = drivers['embedded']!
    const direct = await answers(opening(`${socket}-ro`))
    const ours = await answers(opening(broker.roSocket))
    const others = calls.map(policyName).filter(name => direct.get(name) !== ours.get(name))
    expect(others).to.have.members([CHANGED, ...expectShared(broker, ours)])
    expect(ours.get(CHANGED)).to.equal(forbidden('virDomainDelThrottleGroup'))
  })

  it('is one that asks for it when it opens, too', async () => {
    const { socket, broker } = drivers['libvirt']!
    for (const where of [socket, broker.socket, broker.tcpPort]) {
      const client = await opening(where, 1)(cleanup)
      const reply = await client.call(REMOTE.domainDestroy, more(domain()))
      expect(said(calls[0]!, reply), String(where)).to.equal(forbidden('virDomainDestroy'))
    }
  })

  it('is refused flags that change something in the same words', async () => {
    const { socket, broker } = drivers['libvirt']!
    const client = await opening(`${socket}-ro`)(cleanup)
    const { payload: test } = await client.call(REMOTE.domainLookupById, new XdrWriter().i32(1).finish())
    const flagged: [number, number][] = [
      [REMOTE.domainGetVcpusFlags, 0], [REMOTE.domainGetVcpusFlags, 2], [REMOTE.domainGetVcpusFlags, 8],
      [REMOTE.domainInterfaceAddresses, 0], [REMOTE.domainInterfaceAddresses, 1], [REMOTE.domainInterfaceAddresses, 2],
      [REMOTE.domainGetXmlDesc, 0], [REMOTE.domainGetXmlDesc, 1], [REMOTE.domainGetXmlDesc, 8],
      [REMOTE.domainManagedSaveGetXmlDesc, 1]
    ]
    for (const [proc, flags] of flagged) {
      const [direct, ours] = await Promise.all([`${socket}-ro`, broker.roSocket].map(async where => {
        const client = await opening(where)(cleanup)
        return said(calls[0]!, await client.call(proc, Buffer.concat([test, new XdrWriter().u32(flags).u32(0).finish()])))
      }))
      expect(ours, `${proc} with ${flags}`).to.equal(direct)
    }
  })
})
