import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { loadConfig } from './config/load.js'
import { EXIT, exitCode } from './config/startup-error.js'
import { Daemon } from './life/daemon.js'
import { Life } from './life/life.js'
import { testDriverPlaces } from './threads/test-driver-host.js'

/**
 * `npm start`: the broker in the foreground with the embedded test driver, for somebody who wants to see it work. It
 * needs no libvirt, no root and no configuration, listens on loopback and in a directory of its own, and leaves
 * nothing behind.
 */
const DEFAULT_PORT = 16509

const { port } = new Command('npm start --')
  .description('Run virtbroker with its embedded test driver.')
  .option('--port <number>', 'TCP port on 127.0.0.1', parsePort, DEFAULT_PORT)
  .parse()
  .opts<{ port: number }>()

const directory = mkdtempSync(path.join(tmpdir(), 'virtbroker-'))
const removeDirectory = (): void => rmSync(directory, { recursive: true, force: true })

const configFile = path.join(directory, 'virtbrokerd.conf')
writeFileSync(
  configFile,
  `# Written by npm start.
unix_sock_dir = "${directory}"
driver_socket_dir = "${directory}"
unix_sock_rw_perms = "0700"
unix_sock_ro_perms = "0700"
auth_unix_rw = "none"
auth_unix_ro = "none"
auth_tcp = "none"
listen_tcp = 1
listen_addr = "127.0.0.1"
tcp_port = "${port}"
embedded_test_driver = 1
log_outputs = "3:stderr"
`
)
const load = { configFile, privileged: process.geteuid?.() === 0, env: process.env }
const config = loadConfig(load)
const daemon = new Daemon(config, { pidFile: path.join(directory, 'virtbrokerd.pid'), timeout: 0, daemon: false, load })

const life = new Life(daemon)
const end = (code: number): void => {
  removeDirectory()
  process.exit(code)
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP'] as const) process.on(signal, () => life.request('stop'))

try {
  await life.start()
  void life.stopped.then(() => end(0))
  process.stdout.write(`virtbroker is ready, with its embedded test driver. From another terminal:

  virsh -c test+tcp://127.0.0.1:${port}/default list --all
  virsh -c test+tcp://127.0.0.1:${port}/default suspend test
  virsh -c test+tcp://127.0.0.1:${port}/default domstate test
  virsh -c 'test+unix:///default?socket=${config.sockets.main}' console test
  virsh -c test+tcp://127.0.0.1:${port}/default save test ${testDriverPlaces(config.sockets.main).files}/saved

(Ctrl and ] leaves the guest's console. Files can be in that directory only.) Ctrl-C here ends the broker.
`)
} catch (error) {
  if (exitCode(error) === EXIT.network) {
    process.stderr.write(`\nPort ${port} is taken, by another libvirt daemon perhaps. Try: npm start -- --port 16599\n`)
  }
  end(1)
}

function parsePort(text: string): number {
  if (/^\d+$/.test(text) && Number(text) >= 1 && Number(text) <= 65535) return Number(text)
  throw new InvalidArgumentError('a port is a number from 1 to 65535')
}
