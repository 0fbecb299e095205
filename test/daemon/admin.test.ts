import { existsSync, lstatSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs'
import { copyFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { PROGRAM, STATUS } from '#protocol/header.js'
import { ADMIN, REMOTE } from '#protocol/procedures.js'
import type { XdrWriter } from '#protocol/xdr.js'
import { FLAGGED, flags, REFUSED, serverName } from '../support/admin-calls.js'
import { AdminConnection, clientName, optionalText, uints } from '../support/admin-connection.js'
import { Broker } from '../support/broker.js'
import { brokerCommand } from '../support/broker-command.js'
import { Cleanup } from '../support/cleanup.js'
import { confText } from '../support/conf-file.js'
import { freePort } from '../support/free-port.js'
import { type KeyKind, Pki } from '../support/pki.js'
import { threadCount } from '../support/process-state.js'
import { run } from '../support/processes.js'
import { RawClient } from '../support/raw-client.js'
import { canConnect } from '../support/sockets.js'
import { Stage } from '../support/stage.js'
import { tempDir } from '../support/temp-dir.js'
import { confirmed } from '../support/tls-client.js'
import { waitFor } from '../support/waiting.js'

const killer = new URL('../support/thread-killer.js', import.meta.url).href
const SERVER = 'virtproxyd'

const server = (): XdrWriter => serverName(SERVER)

describe('the admin socket', () => {
  const cleanup = new Cleanup()
  let broker: Broker
  let admin: AdminConnection
  before(async () => { broker = await Broker.start(cleanup, { log_outputs: '3:stderr' }) })
  beforeEach(async () => { admin = await AdminConnection.to(cleanup, broker) })
  afterEach(() => admin.client.destroy())
  after(() => cleanup.run())

  it('stands under both names, for nobody but us', () => {
    const path = join(broker.dir, 'libvirt-admin-sock')
    expect(lstatSync(path).mode & 0o777).to.equal(0o700)
    expect(readlinkSync(join(broker.dir, 'virtproxyd-admin-sock'))).to.equal('libvirt-admin-sock')
  })

  it('answers before it is opened, and says goodbye before it closes', async () => {
    expect((await admin.ask(ADMIN.connectGetLibVersion)).u64()).to.equal(12_008_000n)
    await admin.ask(ADMIN.connectOpen, flags())
    await admin.ask(ADMIN.connectOpen, flags())
    await admin.ask(ADMIN.connectClose)
    await admin.client.end()
  })

  it('answers what it does not know, and goes on', async () => {
    const wrong = [
      [await admin.client.call(1, undefined, { prog: PROGRAM.remote }), `Cannot find program ${PROGRAM.remote} version 1`],
      [await admin.client.call(1, undefined, { prog: PROGRAM.admin, vers: 2 }), `Cannot find program ${PROGRAM.admin} version 2`],
      [await admin.call(21), 'unknown procedure: 21'],
      [await admin.call(0), 'unknown procedure: 0'],
      [await admin.call(ADMIN.connectOpen), 'Unable to decode message payload'],
      [await admin.call(ADMIN.serverSetClientLimits, server().u32(33)), 'Unable to decode message payload']
    ] as const
    for (const [{ status, payload }, text] of wrong) {
      expect(status).to.equal(STATUS.error)
      expect(payload.toString('latin1')).to.contain(text)
    }
    await admin.ask(ADMIN.connectOpen, flags())
  })

  it('refuses flags in the name of libvirt\'s functions', async () => {
    const { id } = (await admin.clients('admin'))[0]!
    for (const [proc, cFunction, args] of FLAGGED) {
      const { code, domain, message, str1, str2, int1, int2 } = await admin.refusal(proc, args(8, SERVER, id))
      expect({ code, domain, message, str1, str2, int1, int2 }).to.deep.equal({
        code: 8, domain: 62, message: `unsupported flags (0x8) in function ${cFunction}`, str1: cFunction, str2: 'flags', int1: 0, int2: 0
      })
    }
    // The one that takes any.
    expect((await admin.ask(ADMIN.connectLookupServer, server().u32(8))).string()).to.equal(SERVER)
  })

  it('knows two servers', async () => {
    const xdr = await admin.ask(ADMIN.connectListServers, flags(1).u32(0))
    expect(xdr.array(10, item => item.string())).to.have.members([SERVER, 'admin'])
    expect(xdr.u32()).to.equal(2)
    const counted = await admin.ask(ADMIN.connectListServers, flags(0).u32(0))
    expect([counted.u32(), counted.u32()]).to.deep.equal([0, 2])
  })

  for (const [what, proc, args, ...expected] of REFUSED) {
    it(`refuses ${what}`, async () => {
      const { code, domain, message } = await admin.refusal(proc, args(SERVER))
      expect([code, domain, message]).to.deep.equal(expected)
    })
  }

  it('takes an empty list of parameters, which changes nothing', async () => {
    const before = await admin.limits()
    await admin.setLimits({})
    await admin.ask(ADMIN.serverSetThreadpoolParameters, uints(SERVER, {}))
    expect(await admin.limits()).to.deep.equal(before)
  })

  it('tells of log filters and outputs as libvirt does, and takes them', async () => {
    const filters = async (): Promise<[string | undefined, number]> => {
      const xdr = await admin.ask(ADMIN.connectGetLoggingFilters, flags())
      return [xdr.optional(item => item.string()), xdr.u32()]
    }
    const outputs = async (): Promise<[string, number]> => {
      const xdr = await admin.ask(ADMIN.connectGetLoggingOutputs, flags())
      return [xdr.string(), xdr.u32()]
    }
    expect(await filters()).to.deep.equal([undefined, 0])
    await admin.setFilters('1:qemu  3:+rpc')
    expect(await filters()).to.deep.equal(['1:*qemu* 3:*rpc* ', 2])
    await admin.ask(ADMIN.connectSetLoggingFilters, optionalText(undefined))
    expect(await filters()).to.deep.equal([undefined, 0])
    const file = join(broker.dir, 'admin.log')
    await admin.ask(ADMIN.connectSetLoggingOutputs, optionalText(`3:stderr 4:syslog:me 1:file:${file}`))
    expect(await outputs()).to.deep.equal([`3:stderr 4:syslog:me 1:file:${file}`, 3])
    // It failed, and nothing has changed.
    await admin.refusal(ADMIN.connectSetLoggingOutputs, optionalText('3:stderr 1:file:/x/y'))
    expect(await outputs()).to.deep.equal([`3:stderr 4:syslog:me 1:file:${file}`, 3])
    await admin.ask(ADMIN.connectSetLoggingOutputs, optionalText('3:stderr'))
    expect(existsSync(file)).to.equal(true)
  })

  it('shows and closes its own clients', async () => {
    const other = await AdminConnection.to(cleanup, broker)
    await other.ask(ADMIN.connectOpen, flags())
    const [mine, its] = (await admin.clients('admin')).map(({ id }) => id)
    expect((await admin.limits('admin')).nclients).to.equal(2)
    expect(await admin.info(its!, 'admin')).to.deep.include({
      readonly: 0, unix_user_id: 0, unix_user_name: 'root', unix_group_id: 0, unix_group_name: 'root', unix_process_id: process.pid
    })
    await admin.disconnect(its!, 'admin')
    await other.client.end()
    // Who closes himself gets no reply.
    admin.post(ADMIN.clientClose, clientName('admin', mine!).u32(0))
    await admin.client.end()
    expect(admin.client.inbox).to.deep.equal([])
  })

  it('shows clients in their order, with what it knows of them', async () => {
    const over: RawClient[] = []
    for (const where of [broker.socket, broker.tcpPort, broker.roSocket]) over.push(await RawClient.connect(cleanup, where))
    for (const client of over) await client.call(REMOTE.authList)
    await waitFor('them', async () => (await admin.clients()).length === 3)
    const clients = await admin.clients()
    expect(clients.map(({ transport }) => transport)).to.deep.equal([0, 1, 0])
    const now = Date.now() / 1000
    for (const { since } of clients) expect(since).to.be.within(now - 60, now)
    const [unix, tcp, readonly] = clients.map(({ id }) => id)
    const local = { unix_user_id: 0, unix_user_name: 'root', unix_group_id: 0, unix_group_name: 'root', unix_process_id: process.pid }
    await waitFor('the identity', async () => 'unix_user_id' in await admin.info(readonly!))
    expect(await admin.info(unix!)).to.deep.include({ readonly: 0, ...local, state: 'serving' })
    expect(await admin.info(readonly!)).to.deep.include({ readonly: 1, ...local })
    expect(await admin.info(tcp!)).to.deep.include({ readonly: 0, sock_addr: `127.0.0.1:${over[1]!.socket.localPort}` })
    expect((await admin.ask(ADMIN.serverLookupClient, server().u64(BigInt(tcp!)).u32(0))).string()).to.equal(SERVER)
    await admin.disconnect(tcp!)
    await over[1]!.end()
    for (const client of over) client.destroy()
  })
})

describe('an administrator', () => {
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('changes the limits of the live broker, and lets those in that wait', async () => {
    const stage = await Stage.start(cleanup, { max_clients: 1, max_anonymous_clients: 1 })
    const admin = await AdminConnection.to(cleanup, stage.broker)
    await waitFor('nobody', async () => (await admin.limits()).nclients === 0)
    const { client } = await stage.open()
    const second = await stage.connect()
    const serial = second.post(REMOTE.authList)
    await waitFor('it to wait', () => stage.broker.program.stderr.includes('1 clients (max_clients): others wait'))
    await admin.setLimits({ nclients_max: 2 })
    expect((await second.next({ serial })).status).to.equal(STATUS.ok)
    expect(await admin.limits()).to.deep.equal({ nclients_max: 2, nclients: 2, nclients_unauth_max: 1, nclients_unauth: 0 })
    // Nobody has to go.
    await admin.setLimits({ nclients_max: 1 })
    expect((await client.call(REMOTE.authList)).status).to.equal(STATUS.ok)
    expect((await second.call(REMOTE.authList)).status).to.equal(STATUS.ok)
  })

  it('counts who has not logged in', async () => {
    const stage = await Stage.start(cleanup, { auth_unix_rw: 'polkit' })
    const admin = await AdminConnection.to(cleanup, stage.broker)
    await stage.connect(stage.broker.socket)
    await stage.connect()
    await waitFor('them', async () => (await admin.limits()).nclients === 2)
    expect((await admin.limits()).nclients_unauth).to.equal(1)
  })

  it('changes the limit of the admin socket itself', async () => {
    const { broker } = await Stage.start(cleanup, { admin_max_clients: 1 })
    const admin = await AdminConnection.to(cleanup, broker)
    await admin.ask(ADMIN.connectOpen, flags())
    const second = await AdminConnection.to(cleanup, broker)
    const serial = second.post(ADMIN.connectGetLibVersion)
    await admin.ask(ADMIN.connectOpen, flags())
    expect((await admin.limits('admin')).nclients).to.equal(1)
    await admin.setLimits({ nclients_max: 2 }, 'admin')
    await second.client.next({ serial })
    expect((await admin.limits('admin'))).to.include({ nclients: 2, nclients_max: 2 })
    // Somebody who leaves makes room as well.
    const third = await AdminConnection.to(cleanup, broker)
    const its = third.post(ADMIN.connectGetLibVersion)
    second.client.destroy()
    await third.client.next({ serial: its })
  })

  it('changes the log in all threads, and in those that replace them', async () => {
    const conf = { actor_threads: 2, log_outputs: '1:stderr' }
    const stage = await Stage.start(cleanup, conf, { nodeOptions: ['--import', killer] })
    const { program } = stage.broker
    const admin = await AdminConnection.to(cleanup, stage.broker)
    const closed = (): number => program.stderr.match(/debug : rpc.netserverclient : client \d+ .*closed/g)?.length ?? 0
    const leave = async (): Promise<void> => {
      const before = closed()
      const two = [await stage.connect(), await stage.connect()]
      for (const client of two) await client.call(REMOTE.authList)
      for (const client of two) client.destroy()
      await waitFor('the lines', () => closed() === before + 2)
    }
    await admin.untilNobody()
    await admin.setFilters('1:netserverclient')
    await leave()
    const threads = threadCount(program.pid)
    process.kill(program.pid, 'SIGUSR2')
    await waitFor('the death', () => program.stderr.includes('actor thread died'))
    await waitFor('another', () => threadCount(program.pid) === threads)
    await leave()
  })

  it('gets at clients of a thread that hangs', async () => {
    const stage = await Stage.start(cleanup, { actor_threads: 1 }, { nodeOptions: ['--import', killer] })
    const { program } = stage.broker
    const admin = await AdminConnection.to(cleanup, stage.broker)
    const { client } = await stage.open()
    const { client: local } = await stage.open(stage.broker.socket)
    const { client: neighbour } = await stage.open()
    await waitFor('them', async () => (await admin.clients()).length === 3)
    process.kill(program.pid, 'SIGURG')
    await waitFor('the thread to hang', () => program.stderr.includes('a thread hangs'))
    const serial = neighbour.post(REMOTE.authList)
    const [first, second] = await admin.clients()
    const others = await AdminConnection.to(cleanup, stage.broker)
    await Promise.all([admin.disconnect(first!.id), others.disconnect(second!.id)])
    await Promise.all([client.end(), local.end()])
    expect(neighbour.inbox).to.deep.equal([])
    process.kill(program.pid, 'SIGURG')
    expect((await neighbour.next({ serial })).status).to.equal(STATUS.ok)
    await waitFor('the end of them', async () => (await admin.clients()).length === 1)
  })

  it('has surplus threads leave when their last client has gone, and come back', async () => {
    const stage = await Stage.start(cleanup, { actor_threads: 2 })
    const { broker } = stage
    const admin = await AdminConnection.to(cleanup, broker)
    const workers = async (): Promise<Record<string, unknown>> => {
      const params = await admin.params(ADMIN.serverGetThreadpoolParameters, server().u32(0))
      return Object.fromEntries(params.map(({ field, value }) => [field, value]))
    }
    const threadOf = async (client: RawClient): Promise<unknown> => {
      let thread: unknown
      await waitFor('its thread', async () => {
        for (const { id } of await admin.clients()) {
          const info = await admin.info(id)
          if (info.sock_addr === `127.0.0.1:${client.socket.localPort}`) thread = info.thread
        }
        return thread !== undefined
      })
      return thread
    }
    await admin.untilNobody()
    expect(await workers()).to.deep.include({ minWorkers: 2, maxWorkers: 2, nWorkers: 2, prioWorkers: 0, jobQueueDepth: 0 })
    const [first, second] = [(await stage.open()).client, (await stage.open()).client]
    const [one, other] = [await threadOf(first), await threadOf(second)]
    expect(one).not.to.equal(other)
    await admin.ask(ADMIN.serverSetThreadpoolParameters, uints(SERVER, { minWorkers: 1, maxWorkers: 1 }))
    // It has a client still, which is served; further ones go to the other.
    expect(await workers()).to.include({ minWorkers: 1, maxWorkers: 1, nWorkers: 2 })
    const more = [(await stage.open()).client, (await stage.open()).client]
    const staying = await threadOf(more[0]!)
    expect(await threadOf(more[1]!)).to.equal(staying)
    const leaving = staying === one ? second : first
    expect((await leaving.call(REMOTE.authList)).status).to.equal(STATUS.ok)
    leaving.destroy()
    await waitFor('it to leave', async () => (await workers()).nWorkers === 1)
    expect(broker.program.stderr).not.to.contain('actor thread died')
    for (const client of more) expect((await client.call(REMOTE.authList)).status).to.equal(STATUS.ok)
    await admin.ask(ADMIN.serverSetThreadpoolParameters, uints(SERVER, { minWorkers: 2, maxWorkers: 2 }))
    await waitFor('another', async () => (await workers()).nWorkers === 2)
    const last = (await stage.open()).client
    expect(await threadOf(last)).not.to.be.oneOf([one, other])
    const { code, message } = await admin.refusal(ADMIN.serverSetThreadpoolParameters, uints(SERVER, { maxWorkers: 3 }))
    expect([code, message]).to.deep.equal([74, 'argument unsupported: maxWorkers cannot be larger than 2 (actor_threads)'])
    await broker.program.stop()
    expect((await broker.program.exited).status).to.equal(0)
  })

  it('has new TLS files used by those who come from then on, all of them or none', async () => {
    const pki = await Pki.make(cleanup)
    const names = ['one.pem', 'two.pem'].map(name => join(pki.dir, name))
    const put = async (kind: KeyKind, file: string, serial: number): Promise<string> => {
      const { certificate, key } = await pki.server({ serial }, { kind })
      await copyFile(certificate, file)
      return key
    }
    const kinds = ['rsa', 'ecdsa'] as const
    const keys = [await put('rsa', names[0]!, 1), await put('ecdsa', names[1]!, 2)]
    const port = await freePort()
    const broker = await Broker.start(cleanup, {
      listen_tls: 1, tls_port: String(port), auth_tls: 'none', ca_file: pki.ca.certificate, cert_files: names, key_files: keys
    })
    const admin = await AdminConnection.to(cleanup, broker)
    const client = await pki.client()
    /** Serial numbers of both, each by clients that know nothing else. */
    const serials = (): Promise<number[]> => Promise.all(kinds.map(async kind => {
      const ciphers = `ECDHE-${kind.toUpperCase()}-AES256-GCM-SHA384`
      const socket = await confirmed(port, client, { ciphers, maxVersion: 'TLSv1.2' })
      const { serialNumber } = socket.getPeerCertificate()
      socket.destroy()
      return parseInt(serialNumber, 16)
    }))
    expect(await serials()).to.deep.equal([1, 2])
    await put('rsa', names[0]!, 3)
    writeFileSync(names[1]!, 'nonsense')
    const { code, domain, message } = await admin.refusal(ADMIN.serverUpdateTlsFiles, server().u32(0))
    expect([code, domain, message]).to.deep.equal([38, 7, `Unable to import server certificate ${names[1]}`])
    expect(await serials()).to.deep.equal([1, 2])
    await put('ecdsa', names[1]!, 4)
    await admin.ask(ADMIN.serverUpdateTlsFiles, server().u32(0))
    expect(await serials()).to.deep.equal([3, 4])
  })

  it('has the broker end when nobody is there', async () => {
    const { broker } = await Stage.start(cleanup)
    const admin = await AdminConnection.to(cleanup, broker)
    const client = await RawClient.connect(cleanup, broker.socket)
    await admin.ask(ADMIN.connectSetDaemonTimeout, flags(1).u32(0))
    client.destroy()
    await admin.untilNobody()
    expect(broker.program.ended).to.equal(false)
    admin.client.destroy()
    expect(await broker.program.exited).to.deep.equal({ status: 0, signal: null })
    expect(existsSync(join(broker.dir, 'libvirt-admin-sock'))).to.equal(false)
    expect(lstatSync(join(broker.dir, 'virtproxyd-admin-sock'), { throwIfNoEntry: false })).to.equal(undefined)
  })

  it('ends it, and is told so before', async () => {
    const { broker } = await Stage.start(cleanup)
    const admin = await AdminConnection.to(cleanup, broker)
    await admin.ask(ADMIN.connectDaemonShutdown, flags(1))
    await admin.client.end()
    expect(await broker.program.exited).to.deep.equal({ status: 0, signal: null })
  })
})

describe('the second name of the admin socket', () => {
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  async function start(prepare: (alias: string) => void): Promise<{ dir: string; argv: string[] }> {
    const dir = await tempDir(cleanup)
    prepare(join(dir, 'virtproxyd-admin-sock'))
    const file = join(dir, 'c')
    writeFileSync(file, confText({ unix_sock_dir: dir, auth_unix_rw: 'none', auth_unix_ro: 'none' }))
    return { dir, argv: brokerCommand('-f', file, '-p', '') }
  }

  it('takes nothing away that is not the broker\'s', async () => {
    const { dir, argv } = await start(alias => writeFileSync(alias, 'keep'))
    const { status, stderr } = await run(argv)
    expect(status).to.equal(6)
    expect(stderr).to.contain("virtproxyd-admin-sock' cannot lead to 'libvirt-admin-sock': a file is in its place")
    expect(await readFile(join(dir, 'virtproxyd-admin-sock'), 'utf8')).to.equal('keep')
    expect(existsSync(join(dir, 'libvirt-sock'))).to.equal(false)
    expect(existsSync(join(dir, 'libvirt-admin-sock'))).to.equal(false)
  })

  it('replaces what a killed broker has left', async () => {
    const dir = await tempDir(cleanup)
    symlinkSync('libvirt-admin-sock', join(dir, 'virtproxyd-admin-sock'))
    await Broker.start(cleanup, { unix_sock_dir: dir })
    expect(await canConnect(join(dir, 'virtproxyd-admin-sock'))).to.equal(true)
  })
})
