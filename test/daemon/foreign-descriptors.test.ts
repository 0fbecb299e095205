import { existsSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { MESSAGE, PROGRAM, STATUS } from '#protocol/header.js'
import { QEMU, REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { connectUnix } from '#workers/driver/unix-connect.js'
import { FdLedger } from '#workers/os/fd-ledger.js'
import { close, EAGAIN, errno, makePipe, Memory, MSG_DONTWAIT, recv } from '#workers/os/libc.js'
import { sendDescriptor } from '#workers/transport/descriptors.js'
import { openToAll, USER } from '../support/as-user.js'
import { Broker, type BrokerSurroundings } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import type { Conf } from '../support/conf-file.js'
import { DescriptorClient } from '../support/descriptor-client.js'
import { frame } from '../support/frame-socket.js'
import { mustRun } from '../support/processes.js'
import { descriptorKinds, hold, openDescriptors, threadCount } from '../support/process-state.js'
import { RawClient } from '../support/raw-client.js'
import { HangingFiles, lingeringSocket } from '../support/slow-descriptors.js'
import { canConnect } from '../support/sockets.js'
import { sendUrgently } from '../support/urgent-descriptor.js'
import { waitFor } from '../support/waiting.js'

/** Native threads that one user may have in each thread. */
const THREADS_OF_ONE = 16
const NOTHING = Buffer.alloc(0)
const byte = new Memory(1)
const UUID = Buffer.from('6695eb01f6a4830479aa97f2502e193f', 'hex')
/** The embedded driver answers it with the same descriptors. */
const ECHO = new XdrWriter().string('test').fixed(UUID).i32(1).string('hello').u32(0).finish()

const killer = new URL('../support/thread-killer.js', import.meta.url).href

/** A call that announces descriptors, without them. */
const calling = (prog: number, proc: number, count: number): Buffer => {
  const announced = Buffer.alloc(4)
  announced.writeUInt32BE(count)
  return frame({ prog, proc, type: MESSAGE.callWithFds }, Buffer.concat([announced, ECHO]))
}
const announcing = (count: number): Buffer => calling(PROGRAM.qemu, QEMU.domainMonitorCommandWithFiles, count)

const MARK = '/dev/zero'
const marks = (count: number): number[] => Array.from({ length: count }, () => openSync(MARK, 'r'))

/** Whether the other side has closed it. */
const hasEnded = (fd: number): boolean => {
  const got = recv(fd, byte.address, 1, MSG_DONTWAIT)
  return got === 0 || (got < 0 && errno() !== EAGAIN)
}

/** Descriptors that come behind others show that those have come. */
const untilHeld = (broker: Broker, count: number): Promise<boolean> =>
  waitFor('descriptors to be held', () => {
    return descriptorKinds(broker.program.pid).filter(kind => kind === MARK).length === count
  })

/** A frame that cannot be: the connection ends when it is read. */
const ILLEGAL = Buffer.from([0, 0, 0, 1])

describe('descriptors that cannot be closed in time', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  /** With one thread for all clients. */
  const start = async (conf: Conf = {}, under: BrokerSurroundings = {}): Promise<Broker> => {
    const own = { actor_threads: 1, embedded_test_driver: 1, driver_socket_dir: '/nowhere', unix_sock_rw_perms: '0777' }
    const broker = await Broker.start(cleanup, { ...own, ...conf }, under)
    await openToAll(broker.dir)
    return broker
  }
  const connect = (path: string): Promise<DescriptorClient> => DescriptorClient.connect(cleanup, path)
  const open = async (broker: Broker): Promise<DescriptorClient> => {
    const client = await connect(broker.socket)
    expect((await client.open('test:///default'))!.status).to.equal(STATUS.ok)
    return client
  }
  /**
   * Sends bytes and, behind them, sockets that linger. The broker is the only one who has them when it goes on: whoever
   * closes them last has to wait.
   */
  const passLingering = (broker: Broker, client: DescriptorClient, bytes: Buffer, count: number): void => {
    hold(broker.program.pid)
    client.write(bytes)
    for (let i = 0; i < count; i++) {
      const fd = lingeringSocket(cleanup)
      if (sendDescriptor(client.fd, fd) !== 1) throw new Error('a descriptor was not sent')
      close(fd)
    }
    process.kill(broker.program.pid, 'SIGCONT')
  }

  /** A call that is not answered within fifteen seconds is an error: sockets linger for twenty. */
  const isServed = async (client: RawClient): Promise<void> => {
    expect((await client.call(REMOTE.connectGetLibVersion)).status).to.equal(STATUS.ok)
  }
  const bystander = async (broker: Broker): Promise<RawClient> => {
    const client = await RawClient.connect(cleanup, broker.tcpPort)
    expect((await client.open('test:///default')).status).to.equal(STATUS.ok)
    return client
  }
  const newcomerIsServed = async (broker: Broker): Promise<void> => {
    const client = await bystander(broker)
    await isServed(client)
    client.destroy()
  }

  /** While it lasts, and afterwards, somebody else calls all the time; in the end nothing is left of it. */
  const beside = async (broker: Broker, attack: () => Promise<void>): Promise<void> => {
    const { pid } = broker.program
    const neighbour = await bystander(broker)
    const before = openDescriptors(pid)
    const threads = threadCount(pid)
    let over = false
    const calls = async (): Promise<void> => {
      while (!over) {
        await isServed(neighbour)
        await sleep(20)
      }
    }
    await Promise.all([calls(), attack().finally(() => (over = true))])
    for (let i = 0; i < 10; i++) await isServed(neighbour)
    await newcomerIsServed(broker)
    await waitFor('its descriptors to be closed', () => openDescriptors(pid) <= before)
    await waitFor('the threads that close them to end', () => threadCount(pid) <= threads)
  }

  for (const auth of ['polkit', 'none']) {
    it(`hold up nobody when they come before the login, with ${auth}`, async () => {
      const broker = await start({ auth_unix_ro: auth })
      await beside(broker, async () => {
        for (let i = 0; i < 3; i++) {
          const client = await connect(broker.roSocket)
          passLingering(broker, client, NOTHING, 5)
          await client.untilClosed()
        }
      })
    })
  }

  it('end the connection when they come before the login, even if they are announced', async () => {
    const broker = await start({ auth_unix_rw: 'polkit' })
    const client = await connect(broker.socket)
    client.write(announcing(1), makePipe())
    await client.untilClosed()
    await waitFor('the log', () => /file descriptors before the login/.test(broker.program.stderr))
  })

  it('hold up nobody when a call that is refused brings them', async () => {
    const broker = await start()
    const client = await open(broker)
    await beside(broker, async () => {
      const refused = client.answer()
      passLingering(broker, client, calling(0x12345678, 1, 10), 10)
      expect((await refused)!.status).to.equal(STATUS.error)
    })
  })

  it('hold up nobody when a call brings them whose driver does not want them', async () => {
    const broker = await start()
    const client = await open(broker)
    await beside(broker, async () => {
      const unwanted = client.answer()
      passLingering(broker, client, calling(PROGRAM.remote, REMOTE.domainFdAssociate, 10), 10)
      expect((await unwanted)!.status).to.equal(STATUS.error)
    })
  })

  it('hold up nobody when they go through, both ways', async () => {
    const broker = await start()
    const client = await open(broker)
    await beside(broker, async () => {
      const echo = client.answer()
      passLingering(broker, client, announcing(10), 10)
      const { descriptors } = (await echo)!
      expect(descriptors).to.have.length(10)
      for (const fd of descriptors) client.closer.close(fd)
    })
  })

  it('hold up nobody when their client leaves before the reply has come', async () => {
    const broker = await start()
    await beside(broker, async () => {
      for (let i = 0; i < 5; i++) {
        const client = await open(broker)
        passLingering(broker, client, announcing(5), 5)
        client.transport.destroy()
      }
      await sleep(200)
    })
  })

  it('hold up nobody when they were not read before their connection ended', async () => {
    const broker = await start()
    await beside(broker, async () => {
      const client = await connect(broker.socket)
      passLingering(broker, client, ILLEGAL, 10)
      await client.untilClosed()
    })
  })

  it('hold up nobody when they come with urgent bytes', async () => {
    const broker = await start()
    await beside(broker, async () => {
      const client = await connect(broker.socket)
      client.write(Buffer.from([0, 0]))
      const urgent = lingeringSocket(cleanup)
      hold(broker.program.pid)
      sendUrgently(client.fd, urgent)
      close(urgent)
      process.kill(broker.program.pid, 'SIGCONT')
      client.write(ILLEGAL)
      await client.untilClosed()
    })
  })

  it('do not hold up the supervisor when their connection is refused', async () => {
    const broker = await start({ max_clients_per_user: 3 })
    await beside(broker, async () => {
      const others: RawClient[] = []
      for (let i = 0; i < 3; i++) others.push(await letIn(broker))
      hold(broker.program.pid)
      const refused = await connect(broker.socket)
      passLingering(broker, refused, NOTHING, 10)
      await refused.untilClosed()
      await waitFor('the log', () => /refused, user 0 has 3 connections/.test(broker.program.stderr))
      for (const client of others) client.destroy()
    })
  })

  it('let no more connections in over UNIX sockets than can be refused', async () => {
    const broker = await start({ max_clients_per_user: 1 }, { limits: ['--nofile=4096:4096'] })
    await beside(broker, async () => {
      const other = await letIn(broker)
      const ledger = new FdLedger()
      hold(broker.program.pid)
      const refused: number[] = []
      while (refused.length < 900) {
        const { outcome } = await connectUnix([{ path: broker.socket, named: true }], ledger, 1, 5000, { up: false })
        const fd = lingeringSocket(cleanup)
        expect(sendDescriptor(outcome, fd)).to.equal(1)
        close(fd)
        refused.push(outcome)
      }
      process.kill(broker.program.pid, 'SIGCONT')
      await waitFor('the log', () => /no more taken over UNIX sockets for now/.test(broker.program.stderr))
      await waitFor('the last', () => refused.every(hasEnded))
      other.destroy()
      for (const fd of refused) close(fd)
      await letIn(broker).then(client => client.destroy())
    })
  })

  /** A connection over the UNIX socket that stays. */
  function letIn(broker: Broker): Promise<RawClient> {
    return waitFor('a connection that stays', async () => {
      const client = await RawClient.connect(cleanup, broker.socket)
      return client.call(REMOTE.authList).then(() => client, () => undefined)
    })
  }

  it('do not hold up the supervisor when the thread that held them dies', async () => {
    const under = { nodeOptions: ['--import', killer] }
    const broker = await start({ embedded_test_driver: 0 }, under)
    const client = await connect(broker.socket)
    passLingering(broker, client, announcing(12), 10)
    client.write(NOTHING, marks(1))
    await untilHeld(broker, 1)
    process.kill(broker.program.pid, 'SIGUSR2')
    await waitFor('its death', () => /actor thread died/.test(broker.program.stderr))
    const late = await RawClient.connect(cleanup, broker.tcpPort)
    expect((await late.call(REMOTE.authList)).status).to.equal(STATUS.ok)
  })

  it('do not hold up the end of the broker', async () => {
    const broker = await start({ max_clients: 2, max_anonymous_clients: 2 })
    const holding = await waitFor('a connection that stays', async () => {
      const client = await connect(broker.socket)
      return (await client.open('test:///default'))?.status === STATUS.ok && client
    })
    passLingering(broker, holding, announcing(7), 5)
    holding.write(NOTHING, marks(1))
    await untilHeld(broker, 1)
    await letIn(broker)
    const inBacklog = await connect(broker.socket)
    passLingering(broker, inBacklog, NOTHING, 5)
    await broker.program.stop('SIGTERM', 10_000)
    expect((await broker.program.exited).status).to.equal(0)
  })

  it('are limited for each user; who sends more loses the connection', async () => {
    const broker = await start({}, { limits: ['--nofile=2000:2000'] })
    const held: DescriptorClient[] = []
    while (held.length < 8) {
      const client = await connect(broker.socket)
      client.write(announcing(32), marks(31))
      held.push(client)
      await untilHeld(broker, 31 * held.length)
    }
    const oneTooMany = await connect(broker.socket)
    oneTooMany.write(announcing(32), marks(31))
    await oneTooMany.untilClosed()
    await waitFor('the log', () => /closed: too many file descriptors/.test(broker.program.stderr))
    expect(held.some(({ closed }) => closed)).to.equal(false)
  })

  it('for which there is no room in the process end their connection', async () => {
    const broker = await start()
    const { pid } = broker.program
    const client = await open(broker)
    const neighbour = await bystander(broker)
    await mustRun(['prlimit', '--pid', String(pid), '--nofile=5:'])
    client.write(NOTHING, makePipe())
    await client.untilClosed()
    await isServed(neighbour)
    await mustRun(['prlimit', '--pid', String(pid), '--nofile=1000:'])
    await newcomerIsServed(broker)
  })

  describe('at all', () => {
    /** Passes so many, and returns how many threads hang then. */
    const hang = async (broker: Broker, files: HangingFiles, count: number): Promise<number> => {
      const threads = threadCount(broker.program.pid)
      for (let i = 0; i < count; i++) {
        const client = await connect(broker.roSocket)
        client.write(NOTHING, [files.open()])
        await client.untilClosed()
      }
      const hanging = (): number => threadCount(broker.program.pid) - threads
      await waitFor('threads that hang', () => hanging() >= Math.min(count, THREADS_OF_ONE))
      return hanging()
    }
    const openAs = async (broker: Broker, uid: number): Promise<DescriptorClient> => {
      process.seteuid!(uid)
      const connecting = open(broker)
      process.seteuid!(0)
      return connecting
    }
    /** There and back. */
    const pipeGoesThrough = async (broker: Broker, client: DescriptorClient): Promise<void> => {
      const before = openDescriptors(broker.program.pid)
      const echo = await client.call(PROGRAM.qemu, QEMU.domainMonitorCommandWithFiles, ECHO, makePipe())
      for (const fd of echo!.descriptors) client.closer.close(fd)
      await waitFor('the pipe to be closed', () => openDescriptors(broker.program.pid) <= before)
    }

    it('hold up nobody, and no more of them hang at a time than one user may have', async () => {
      const files = await HangingFiles.mount(cleanup)
      const broker = await start({ auth_unix_ro: 'polkit' })
      // Not later: the threads of this process change their user together, but not while some of them hang.
      const ofOtherUser = await openAs(broker, USER.nobody)
      await beside(broker, async () => {
        expect(await hang(broker, files, 2 * THREADS_OF_ONE)).to.equal(THREADS_OF_ONE)
        await newcomerIsServed(broker)
        await pipeGoesThrough(broker, ofOtherUser)
        await files.release()
      })
    })

    it('do not keep sockets and pid file from going when the broker ends', async () => {
      const files = await HangingFiles.mount(cleanup)
      const broker = await start()
      await hang(broker, files, 10)
      broker.program.child.kill('SIGTERM')
      const places = [broker.socket, broker.roSocket, broker.tcpPort]
      await waitFor('an end to connections', async () => !(await Promise.all(places.map(canConnect))).includes(true))
      await waitFor('its files to go', () => !existsSync(broker.socket) && !existsSync(join(broker.dir, 'broker.pid')))
      await files.release()
      expect((await broker.program.exited).status).to.equal(0)
    })
  })
})
