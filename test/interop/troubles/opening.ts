import { createServer } from 'node:net'
import { once } from 'node:events'
import { listenAs, openToAll, USER } from '../../support/as-user.js'
import type { Troubles } from '../../support/troubled-host.js'

const tcp = (name: string): string => `virsh -c 'test+tcp://host.example/default?name=${encodeURIComponent(name)}' list`

/** The broker is reached, and does not open what is asked for. */
export const opening: Troubles = {
  'no-driver-daemon': async host => {
    await host.serve()
    return host.fails('virsh -c qemu+tcp://host.example/system list')
  },
  'daemon-without-driver': async host => {
    await host.serve()
    return host.fails('virsh -c nosuch+tcp://host.example/system list')
  },
  'no-test-driver': async host => {
    await host.serve({ embedded_test_driver: 0 })
    return host.fails('virsh -c test+tcp://host.example/default list')
  },
  'other-host': async host => {
    await host.serve()
    return host.fails(tcp('qemu+ssh://other.example/system'))
  },
  'other-socket': async host => {
    await host.serve()
    return host.fails(tcp('qemu+unix:///system?socket=/tmp/libvirt-sock'))
  },
  'foreign-daemon': async host => {
    await host.serve()
    await openToAll(host.page.host.dir)
    await host.succeeds('chmod 777 /run/libvirt')
    const driver = await listenAs(host.cleanup, USER.daemon, host.runPath('virtqemud-sock'))
    const text = await host.fails('virsh -c qemu+tcp://host.example/system list')
    await driver.stop()
    return text
  },
  'daemon-hangs': async host => {
    await host.serve({ driver_open_timeout: 1 })
    const server = createServer().listen(host.runPath('virtqemud-sock'))
    await once(server, 'listening')
    const text = await host.fails('virsh -c qemu+tcp://host.example/system list')
    server.close()
    return text
  }
}
