import { existsSync } from 'node:fs'
import { lookup } from 'node:dns/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { formatLocalUri, parseQuery, parseUri, type ParsedUri, type UriParameter } from '#protocol/uri-syntax.js'
import type { Address, Target } from '../load/orders.js'

const PORT = { tcp: 16509, tls: 16514 }
/** Parameters of a URI that say how to connect; the others go to the driver daemon. */
const OURS = ['name', 'socket', 'pkipath', 'no_verify']

/** Where a URI as libvirt's clients take it leads to. Throws where it leads nowhere. */
export async function targetOf(text: string): Promise<Target> {
  const uri = parseUri(text)
  if (uri === undefined || uri.scheme === '') throw new Error(`'${text}' is no URI of libvirt's, such as qemu+tcp://127.0.0.1/system`)
  const [driver = '', transport = uri.host === '' ? 'unix' : 'tls'] = uri.scheme.split('+')
  const parameters = parseQuery(uri.query)
  return { address: await addressOf(uri, transport, parameters), name: nameOf(uri, driver, parameters), login: true }
}

/** What CONNECT_OPEN says: the URI without what led to the server. */
function nameOf(uri: ParsedUri, driver: string, parameters: readonly UriParameter[]): string {
  const name = parameters.find(parameter => parameter.name === 'name')?.value
  if (name !== undefined) return name
  const query = uri.query.split('&').filter(part => !OURS.includes(part.split('=')[0]!)).join('&')
  return formatLocalUri({ ...uri, scheme: driver, user: '', query })
}

async function addressOf(uri: ParsedUri, transport: string, parameters: readonly UriParameter[]): Promise<Address> {
  const parameter = (name: string): string | undefined => parameters.find(candidate => candidate.name === name)?.value
  if (transport === 'unix') return { path: parameter('socket') ?? defaultSocket(uri.path) }
  if (transport !== 'tcp' && transport !== 'tls') throw new Error(`no transport '${transport}': there are tcp, tls and unix`)
  const host = uri.host.replace(/^\[(.*)\]$/, '$1') || 'localhost'
  const { address } = await lookup(host)
  const port = uri.port === '' ? PORT[transport] : Number(uri.port)
  if (transport === 'tcp') return { host: address, port }
  const own = certificate(parameter('pkipath'))
  return { host: address, port, tls: { ...(own && { own }), confirmation: true } }
}

/** The socket of virtproxyd's and of a monolithic libvirtd. */
function defaultSocket(uriPath: string): string {
  const { XDG_RUNTIME_DIR: runtime = path.join(homedir(), '.cache') } = process.env
  return path.join(uriPath === '/session' ? runtime : '/run', 'libvirt/libvirt-sock')
}

/** The client's, where libvirt's clients look for it; undefined where there is none. */
function certificate(pkipath: string | undefined): { certificate: string; key: string } | undefined {
  const user = path.join(homedir(), '.pki/libvirt')
  const places = pkipath === undefined
    ? [[user, user], ['/etc/pki/libvirt', '/etc/pki/libvirt/private']] as const
    : [[pkipath, pkipath]] as const
  const found = places.find(([place]) => existsSync(path.join(place, 'clientcert.pem')))
  if (found === undefined && pkipath !== undefined) throw new Error(`no clientcert.pem in ${pkipath}`)
  return found && { certificate: path.join(found[0], 'clientcert.pem'), key: path.join(found[1], 'clientkey.pem') }
}
