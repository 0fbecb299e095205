import { brokerCommand } from '../../support/broker-command.js'
import { printed } from '../../support/processes.js'
import type { TroubledHost, Troubles } from '../../support/troubled-host.js'

/** Without the beginnings of the log's lines, which differ each time, and what is no error. */
const BROKER = `{ ${brokerCommand().map(word => `'${word}'`).join(' ')}`
const ENDS = `; echo "exit code $?"; } 2>&1 | grep -v -e ' info : ' -e ' warning : ' | sed 's/^[0-9-]* [0-9:.+]*: [0-9]*: //'`

/** What a start with this configuration prints, and what it ends with. */
async function start(host: TroubledHost, text: string, args = ''): Promise<string> {
  await host.stop()
  await host.write('libvirt/virtbrokerd.conf', text)
  const { text: printed } = await host.run(`${BROKER} ${args}${ENDS}`)
  return printed
}

/** Somebody else on the port of TCP. */
const HOLDER = `import socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(('', 16509))
listener.listen()
print('ready', flush=True)
sys.stdin.read()`
const TLS = 'listen_tls = 1\n'
const PAST = `sed 's/^expiration_days.*/activation_date = "2020-01-01 00:00:00 UTC"\\nexpiration_date = "2021-01-01 00:00:00 UTC"/'`
const SIGN = 'certtool --generate-certificate --load-ca-certificate cacert.pem --load-ca-privkey cakey.pem ' +
  '--load-privkey serverkey.pem --template past.info'
const CERT = '/etc/pki/libvirt/servercert.pem'

/** The broker does not start. */
export const starting: Troubles = {
  'start-syntax': host => start(host, 'listen_tcp = 1\nlisten_addr = 127.0.0.1\n'),
  'start-no-such-file': host => start(host, '', '-f /etc/libvirt/virtbrokered.conf'),
  'start-unsupported-auth': host => start(host, 'auth_tcp = "password"\n'),
  'start-pid-file-held': async host => {
    await host.serve()
    await host.write('libvirt/other.conf', 'unix_sock_dir = "/run/other"\n')
    return (await host.run(`${BROKER} -f /etc/libvirt/other.conf${ENDS}`)).text
  },
  'start-place-taken': async host => {
    await host.stop()
    await host.write('libvirt/virtbrokerd.conf', '')
    await host.succeeds('mkdir -p /tmp/none; LIBVIRT_DRIVER_DIR=/tmp/none libvirtd -d -p /run/libvirtd.pid')
    const { text } = await host.run(`${BROKER}${ENDS}`)
    await host.succeeds('kill $(cat /run/libvirtd.pid); while [ -e /run/libvirtd.pid ]; do sleep 0.05; done')
    return text
  },
  'start-port-taken': async host => {
    await host.stop()
    const holder = host.page.host.spawn(['/usr/bin/python3', '-c', HOLDER])
    host.cleanup.defer(() => holder.stop())
    await printed(holder, /ready/)
    const text = await start(host, 'listen_tcp = 1\nauth_tcp = "none"\n')
    await holder.stop()
    return text
  },
  'start-no-run-directory': host => start(host, 'unix_sock_dir = "/etc/hosts/libvirt"\n'),
  'start-limits': host => start(host, 'max_clients = 10\n'),
  'start-no-group': host => start(host, 'unix_sock_group = "libvrit"\n'),
  'start-no-certificate': async host => {
    await host.pki()
    await host.succeeds(`mv ${CERT} ${CERT}.away`)
    const text = await start(host, TLS)
    await host.succeeds(`mv ${CERT}.away ${CERT}`)
    return text
  },
  'start-expired-certificate': async host => {
    await host.pki()
    await host.succeeds(`cd ~/pki && cp ${CERT} ${CERT}.away && ${PAST} server.info > past.info && ${SIGN} --outfile ${CERT}`)
    const text = await start(host, TLS)
    await host.succeeds(`mv ${CERT}.away ${CERT}`)
    return text
  },
  'start-other-key': async host => {
    await host.pki()
    await host.succeeds('cd /etc/pki/libvirt/private && mv serverkey.pem away && cp ~/pki/clientkey.pem serverkey.pem')
    const text = await start(host, TLS)
    await host.succeeds('cd /etc/pki/libvirt/private && mv away serverkey.pem')
    return text
  }
}
