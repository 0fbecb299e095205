import { clientEnv } from '../../support/clients.js'
import { Libvirtd } from '../../support/libvirtd.js'
import { Program } from '../../support/processes.js'
import type { TroubledHost, Troubles } from '../../support/troubled-host.js'
import { waitFor } from '../../support/waiting.js'

const URI = 'test+tcp://host.example/default'
const ADMIN = 'virt-admin -c virtproxyd:///system'

let daemon: Libvirtd | undefined

/** A broker before a real daemon, which can be killed and can hang. */
async function withDaemon(host: TroubledHost): Promise<Libvirtd> {
  daemon ??= await Libvirtd.start(host.page.host, host.cleanup, { drivers: [] })
  await host.serve({ embedded_test_driver: 0, driver_sockets: [`test=/run/libvirt/libvirtd/libvirt-sock`] })
  return daemon
}

/** A virsh that stays connected. */
async function connected(host: TroubledHost, options: string[] = []): Promise<Program> {
  const program = new Program(host.page.host.inside(['virsh', '-q', ...options, '-c', URI]), { env: clientEnv })
  host.cleanup.defer(() => program.stop())
  program.child.stdin.write('echo connected\n')
  await waitFor('virsh', () => program.stdout.includes('connected'))
  return program
}

/** Types a last command, if there is one. Gives the errors, and not the prompts between them. */
async function ended(program: Program, command = ''): Promise<string> {
  program.child.stdin.end(`${command}\n`)
  await program.exited
  const lines = program.stderr.trim().split('\n')
  // The end of the connection may be seen before the call's, or after it.
  const lost = lines.filter(line => /Disconnected/.test(line))
  if (lines.some(line => /Reconnected/.test(line))) return lines.join('\n')
  return [...lines.filter(line => !lost.includes(line)), ...lost].join('\n')
}

/** What somebody sees who sits before a virsh: something happens to the connection, and then comes the next command. */
async function atVirsh(host: TroubledHost, happens: () => Promise<unknown>): Promise<string> {
  const program = await connected(host)
  await happens()
  await waitFor('virsh to notice', () => program.stderr.includes('Disconnected'))
  return ended(program, 'list')
}

/** A virsh is in the middle of a call that its daemon does not answer, and then something happens. */
async function inACall(host: TroubledHost, happens: () => Promise<unknown>, options: string[] = []): Promise<string> {
  const own = await withDaemon(host)
  const program = await connected(host, options)
  await own.signal('SIGSTOP')
  try {
    program.child.stdin.write('list\n')
    await waitFor('the call', async () => (await clientInfo(host)).includes('calls_in_flight: 1'))
    await happens()
    return await ended(program)
  } finally {
    await own.signal('SIGCONT')
  }
}

const firstClient = async (host: TroubledHost): Promise<string> =>
  /^ (\d+) +\S*tcp/m.exec((await host.run(`${ADMIN} client-list virtproxyd`)).text)?.[1] ?? '0'

async function clientInfo(host: TroubledHost): Promise<string> {
  return (await host.run(`${ADMIN} client-info virtproxyd ${await firstClient(host)}`)).text.replace(/ *: /g, ': ')
}

/** A call is refused, or does not come back. */
export const calls: Troubles = {
  'denied-by-policy': async host => {
    await host.serve({ procedure_policy: ['listener=tcp => deny domain:stop'] })
    return host.fails(`virsh -c ${URI} destroy test`)
  },
  'read-only': async host => {
    await host.serve()
    return host.fails('virsh -r -c "test+unix:///default?socket=/run/libvirt/libvirt-sock-ro" destroy test')
  },
  'descriptors-over-tcp': async host => {
    await host.serve()
    return host.fails(`virsh -c ${URI} 'destroy test; start test --pass-fds 0'`)
  },
  'daemon-killed-in-a-call': host => inACall(host, async () => {
    await daemon!.stop('SIGKILL')
    await daemon!.restart()
  }),
  'daemon-restarted': async host => {
    const own = await withDaemon(host)
    return atVirsh(host, async () => {
      await own.stop()
      await own.restart()
    })
  },
  'daemon-lost-to-a-program': async host => {
    const own = await withDaemon(host)
    const script = `import libvirt, sys
libvirt.virEventRegisterDefaultImpl()
connection = libvirt.open('${URI}')
connection.registerCloseCallback(lambda *_: None, None)
print('connected', flush=True)
sys.stdin.readline()
try: connection.listAllDomains()
except libvirt.libvirtError: pass`
    const program = new Program(host.page.host.inside(['/usr/bin/python3', '-c', script]), { env: clientEnv })
    host.cleanup.defer(() => program.stop())
    await waitFor('the program', () => program.stdout.includes('connected'))
    const lost = (): number => host.log.split('driver daemon lost').length
    const before = lost()
    await own.stop()
    await waitFor('the broker to notice', () => lost() > before)
    await own.restart()
    return ended(program)
  },
  'broker-stopped-in-a-call': host => inACall(host, () => host.stop()),
  'broker-restarted': async host => {
    await withDaemon(host)
    return atVirsh(host, async () => {
      await host.stop()
      await withDaemon(host)
    })
  },
  'broker-killed-in-a-call': host => inACall(host, () => host.signal('KILL')),
  'closed-by-an-administrator': host => inACall(host, async () =>
    host.succeeds(`${ADMIN} client-disconnect virtproxyd ${await firstClient(host)}`)),
  'no-keepalive': host => inACall(host, () => host.signal('STOP'), ['-k', '1', '-K', '1'])
}
