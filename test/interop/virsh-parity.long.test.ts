import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { clientEnv, commandLine, interactiveVirsh, isGuestJob } from '../support/clients.js'
import { DriverRelay } from '../support/driver-relay.js'
import { Libvirtd, startVirtlogd } from '../support/libvirtd.js'
import type { Conf } from '../support/conf-file.js'
import { PrivateHost } from '../support/private-host.js'
import { run, type Outcome } from '../support/processes.js'
import { tempDir } from '../support/temp-dir.js'
import type { ParityCommand } from './commands/command.js'
import { poolPath, qemuCommands, qemuFiles } from './commands/qemu.js'
import { testDriverCommands, testDriverFiles } from './commands/test-driver.js'

type Route = 'direct' | 'tcp' | 'unix' | 'shared'

/** Whose driver connections the clients use. */
const SHARING: Record<Exclude<Route, 'direct'>, Conf> = {
  tcp: { driver_sharing: 'off' }, unix: {}, shared: { driver_sharing: 'identity' }
}

/** Which part of the calls goes by connections that clients share, where they do. */
const LEAST_SHARED = 0.85

/** A list of commands with the libvirtd that they need. */
interface Scenario {
  driver: string
  path: string
  commands: readonly ParityCommand[]
  files: Record<string, string>
  startDaemon: (cleanup: Cleanup) => Promise<Libvirtd>
}

const scenarios: readonly Scenario[] = [
  {
    driver: 'test',
    path: '/default',
    commands: testDriverCommands,
    files: testDriverFiles,
    startDaemon: async cleanup => {
      const host = await PrivateHost.start(cleanup)
      return Libvirtd.start(host, cleanup, { drivers: [] })
    }
  },
  {
    driver: 'qemu',
    path: '/system',
    commands: qemuCommands,
    files: qemuFiles,
    startDaemon: async cleanup => {
      const host = await PrivateHost.start(cleanup)
      await host.exec(['mkdir', '-p', poolPath])
      await host.exec(['mount', '-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', poolPath])
      await startVirtlogd(host, cleanup)
      return Libvirtd.start(host, cleanup)
    }
  }
]

interface Run {
  outcomes: Outcome[]
  calls: DriverRelay['calls'] | undefined
}

/** What virsh would print at any other moment: the moving parts replaced. */
function steady(outcome: Outcome, command: ParityCommand): Outcome {
  const still = (text: string): string =>
    command.moving.reduce((rest, pattern) => rest.replaceAll(pattern, '(moving)'), text)
  return { ...outcome, stdout: still(outcome.stdout), stderr: still(outcome.stderr) }
}

/**
 * Runs all commands of a scenario by one route. Each route has a daemon of its own, so that all begin with the same
 * state, and each command its own virsh, for its exit status; one more client holds the state of test:///default,
 * which goes away with the last connection.
 */
async function runScenario(scenario: Scenario, route: Route, clientDir: string): Promise<Run> {
  const cleanup = new Cleanup()
  try {
    const daemon = await scenario.startDaemon(cleanup)
    let uri = daemon.uri(scenario.driver, scenario.path)
    let relay: DriverRelay | undefined
    if (route !== 'direct') {
      let { socket } = daemon
      if (route === 'shared') {
        const dir = await tempDir(cleanup)
        socket = join(dir, 'libvirt-sock')
        relay = await DriverRelay.listen(cleanup, socket, daemon.socket)
        await relay.listen(cleanup, join(dir, 'libvirt-sock-ro'), daemon.roSocket)
      }
      const broker = await Broker.start(cleanup, { driver_sockets: [`*=${socket}`], ...SHARING[route] })
      const make = route === 'unix' ? 'unixUri' : 'tcpUri'
      uri = broker[make](scenario.driver, scenario.path)
    }
    const holder = await interactiveVirsh(uri)
    cleanup.defer(() => holder.stop())
    const outcomes: Outcome[] = []
    for (const command of scenario.commands) {
      const line = command.line.replaceAll('@/', `${clientDir}/`)
      const argv = commandLine(uri, line, ...command.readonly ? ['-r'] : [])
      outcomes.push(steady(await run(argv, { env: clientEnv }), command))
    }
    return { outcomes, calls: relay?.calls }
  } finally {
    await cleanup.run()
  }
}

for (const scenario of scenarios) {
  describe(`virsh with ${scenario.driver}://${scenario.path} through the broker`, () => {
    const cleanup = new Cleanup()
    const outcomes = {} as Record<Route, Outcome[]>
    let calls = { shared: 0, own: 0 }

    before(async function () {
      this.timeout(240000)
      const clientDir = await tempDir(cleanup)
      for (const [name, text] of Object.entries(scenario.files)) await writeFile(join(clientDir, name), text)
      for (const route of ['direct', 'tcp', 'unix', 'shared'] as const) {
        const done = await runScenario(scenario, route, clientDir)
        outcomes[route] = done.outcomes
        if (done.calls !== undefined) calls = done.calls
      }
    })

    after(() => cleanup.run())

    for (const [index, command] of scenario.commands.entries()) {
      const who = isGuestJob(command.line) ? 'a client of libvirt' : command.readonly ? 'virsh -r' : 'virsh'
      it(`"${command.line}" of ${who} prints what it prints without the broker`, () => {
        const direct = outcomes.direct[index]
        expect(direct?.status, direct?.stderr).to.equal(command.status)
        expect(outcomes.tcp[index], 'over TCP').to.deep.equal(direct)
        expect(outcomes.unix[index], 'over UNIX').to.deep.equal(direct)
        expect(outcomes.shared[index], 'with shared driver connections').to.deep.equal(direct)
      })
    }

    it('makes nearly all its calls on driver connections that clients share, where they do', () => {
      const { shared, own } = calls
      expect(shared / (shared + own), `${shared} on shared ones, ${own} on others`).to.be.greaterThan(LEAST_SHARED)
    })
  })
}
