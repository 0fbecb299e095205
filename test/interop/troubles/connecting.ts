import type { Troubles } from '../../support/troubled-host.js'
import { waitFor } from '../../support/waiting.js'

const OWN = 'qemu+unix:///system?socket=/run/virtbroker/libvirt-sock'
/** Somebody who connects, says nothing, and stays. */
const silent = (rest: string): string => `exec 9<>/dev/tcp/127.0.0.1/16509; ${rest}`

/** Nobody is reached, or nobody who would talk. */
export const connecting: Troubles = {
  'no-socket': host => host.fails(`virsh -c '${OWN}' list`),
  'dead-socket': async host => {
    const left = "import socket; socket.socket(socket.AF_UNIX).bind('/run/virtbroker/libvirt-sock')"
    await host.succeeds(`mkdir -p /run/virtbroker; /usr/bin/python3 -c "${left}"`)
    return host.fails(`virsh -c '${OWN}' list`)
  },
  'no-permission': async host => {
    await host.serve({ unix_sock_rw_perms: '0700' })
    return host.fails('virsh -c "test+unix:///default?socket=/run/libvirt/libvirt-sock" list', { uid: 1 })
  },
  'tcp-refused': async host => {
    await host.stop()
    return host.fails('virsh -c qemu+tcp://host.example/system list')
  },
  'tls-refused': async host => {
    await host.pki()
    await host.serve()
    return host.fails('virsh -c qemu+tls://host.example/system list')
  },
  'no-route': async host => {
    await host.succeeds('ip route add unreachable 192.0.2.1')
    return host.fails('virsh -c qemu+tcp://192.0.2.1/system list')
  },
  'unknown-host': async host => {
    await host.succeeds("sed -i 's/^hosts:.*/hosts: files/' /etc/nsswitch.conf")
    return host.fails('virsh -c qemu+tcp://hots.example/system list')
  },
  'tls-to-plain': async host => {
    await host.pki()
    await host.serve()
    return host.fails('virsh -c test+tls://host.example:16509/default list')
  },
  'plain-to-tls': async host => {
    await host.pki()
    await host.serve({ listen_tls: 1 })
    return host.fails('virsh -c test+tcp://host.example:16514/default list')
  },
  'too-many-of-address': async host => {
    await host.serve({ max_clients_per_address: 1 })
    // It is an end of file when the client has said nothing yet.
    return waitFor('a reset', async () => {
      const text = await host.fails(silent('virsh -c test+tcp://127.0.0.1/default list'))
      return text.includes('reset') && text
    })
  },
  'admin-socket': async host => {
    await host.serve()
    return host.fails('virsh -c "test+unix:///default?socket=/run/libvirt/libvirt-admin-sock" list')
  },
  'not-an-administrator': async host => {
    await host.serve({ unix_sock_admin_perms: '0777' })
    const command = 'virt-admin -c "virtproxyd:///system?socket=/run/libvirt/libvirt-admin-sock" client-list virtproxyd'
    // It is a reset when virt-admin has already said something.
    return waitFor('an end of file', async () => {
      const text = await host.fails(command, { uid: 1 })
      return text.includes('End of file') && text
    })
  }
}
