import type { TroubledHost, Troubles } from '../../support/troubled-host.js'
import type { Conf } from '../../support/conf-file.js'

const LIST = 'virsh -c test+tls://host.example/default list'

async function tls(host: TroubledHost, conf: Conf = {}): Promise<void> {
  await host.pki()
  await host.serve({ listen_tls: 1, ...conf })
}

/** With a file of the client's out of the way, or another in its place. The broker has loaded its own before. */
async function without(host: TroubledHost, files: string, instead = ''): Promise<string> {
  await tls(host)
  await host.succeeds(`set -e; for f in ${files}; do mv $f $f.away; done; ${instead}`)
  const text = await host.fails(LIST)
  await host.succeeds(`for f in ${files}; do mv $f.away $f; done`)
  return text
}

const CA = '/etc/pki/CA/cacert.pem'
const CERT = '/etc/pki/libvirt/clientcert.pem'
const KEY = '/etc/pki/libvirt/private/clientkey.pem'
const PAST = `sed 's/^expiration_days.*/activation_date = "2020-01-01 00:00:00 UTC"\\nexpiration_date = "2021-01-01 00:00:00 UTC"/'`
const SIGN = 'certtool --generate-certificate --load-ca-certificate cacert.pem --load-ca-privkey cakey.pem'

/** TLS, on the client's side and on the broker's. */
export const certificates: Troubles = {
  'no-authority': host => without(host, CA),
  'no-client-certificate': host => without(host, `${CERT} ${KEY}`),
  'no-client-key': host => without(host, KEY),
  'unknown-issuer': host => without(host, CA,
    `cd ~/pki && certtool --generate-self-signed --load-privkey clientkey.pem --template ca.info --outfile ${CA}`),
  'expired-client': host => without(host, CERT,
    `cd ~/pki && ${PAST} client.info > past.info && ${SIGN} --load-privkey clientkey.pem --template past.info --outfile ${CERT}`),
  'other-name': async host => {
    await tls(host)
    return host.fails('virsh -c test+tls://127.0.0.1/default list')
  },
  'not-on-the-list': async host => {
    await tls(host, { tls_allowed_dn_list: ['O=Example,CN=wilma'] })
    return host.fails(LIST)
  },
  'no-version-in-common': async host => {
    await tls(host, { tls_priority: 'NORMAL:-VERS-ALL:+VERS-TLS1.3' })
    return host.fails("virsh -c 'test+tls://host.example/default?tls_priority=NORMAL:-VERS-TLS1.3' list")
  }
}
