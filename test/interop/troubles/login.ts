import { Broker } from '../../support/broker.js'
import { openToAll } from '../../support/as-user.js'
import { clientEnv } from '../../support/clients.js'
import { Page } from '../../support/page.js'
import { PolkitBus } from '../../support/polkit-bus.js'
import { run } from '../../support/processes.js'
import type { TroubledHost, Troubles } from '../../support/troubled-host.js'

const RULES = `polkit.addRule(function(action, subject) {
  if (action.id === 'org.libvirt.unix.manage' && subject.user === 'bin') return polkit.Result.NO
})`
const SASL = { auth_tcp: 'sasl', auth_unix_rw: 'none' }

async function withPasswords(host: TroubledHost): Promise<void> {
  await host.page.follow(await Page.read('authentication.md'), ['mechanisms', 'user', 'authfile'])
}

/** polkit is asked about processes, which must have the same ids for everybody. */
async function askPolkit(host: TroubledHost, uid: number, { bus = true } = {}): Promise<string> {
  const polkit = await PolkitBus.start(host.cleanup, RULES)
  if (!bus) await polkit.stop()
  const broker = await Broker.start(host.cleanup, { auth_unix_rw: 'polkit', system_bus_address: polkit.address, embedded_test_driver: 1 })
  await openToAll(broker.dir)
  const argv = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', 'virsh', '-c', broker.unixUri('test', '/default'), 'list']
  const { stdout, stderr } = await run(argv, { env: clientEnv })
  await broker.program.stop()
  await polkit.stop()
  return `${stdout}${stderr}`.trim()
}

/** Somebody is not let in. */
export const login: Troubles = {
  'no-mechanism': async host => {
    await host.serve(SASL)
    return host.fails('virsh -c test+tcp://host.example/default list')
  },
  'no-password': async host => {
    await withPasswords(host)
    await host.stop()
    await host.serve(SASL)
    return host.fails('virsh -c test+tcp://host.example/default?authfile=/dev/null list')
  },
  'wrong-password': async host => {
    await host.serve(SASL)
    await host.succeeds('sed s/^password=.*/password=guessed/ ~/.config/libvirt/auth.conf > ~/guess.conf')
    return host.fails('virsh -c "test+tcp://host.example/default?authfile=$HOME/guess.conf" list')
  },
  'mechanism-not-offered': async host => {
    await host.serve(SASL)
    return host.fails('virsh -c "test+tcp://host.example/default?auth=sasl.GSSAPI" list')
  },
  'no-agent': host => askPolkit(host, 1),
  'denied-by-polkit': host => askPolkit(host, 2),
  'no-polkit': host => askPolkit(host, 1, { bus: false })
}
