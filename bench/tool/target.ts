import { existsSync } from 'node:fs'
import { lookup } from 'node:dns/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { CONSUMED } from '#protocol/uri.js'
import { fitsUnixAddress } from '#workers/os/address.js'
import { formatLocalUri, parseQuery, parseUri, type ParsedUri, type UriParameter } from '#protocol/uri-syntax.js'
import type { Address, Target } from '../load/orders.js'
import { canConnect } from '../system/listening.js'

const PORT = { tcp: 16509, tls: 16514 }
/** For one of a host's addresses. */
const PATIENCE_MS = 2000
const MOST_PORT = 65_535

type Addresses = (host: string) => Promise<string[]>

const resolved: Addresses = async host => (await lookup(host, { all: true })).map(({ address }) => address)

/** Where a URI as libvirt's clients take it leads to. `addresses`: those of a host. Throws where it leads nowhere. */
export async function targetOf(text: string, addresses = resolved): Promise<Target> {
  const uri = parseUri(text)
  if (uri === undefined || uri.scheme === '') throw new Error(`'${text}' is no URI of libvirt's, such as qemu+tcp://127.0.0.1/system`)
  const [driver = '', transport = uri.host === '' ? 'unix' : 'tls'] = uri.scheme.split('+')
  const parameters = parseQuery(uri.query)
  return { address: await addressOf(uri, transport, parameters, addresses), name: nameOf(uri, driver, parameters), login: true }
}

/** What CONNECT_OPEN says: the URI without what led to the server, as libvirt's clients say it. */
function nameOf(uri: ParsedUri, driver: string, parameters: readonly UriParameter[]): string {
  const name = parameters.find(parameter => parameter.name === 'name')?.value
  if (name !== undefined) return name
  const query = uri.query.split('&').filter(part => !CONSUMED.has(part.split('=')[0]!.toLowerCase())).join('&')
  return formatLocalUri({ ...uri, scheme: driver, user: '', query })
}

async function addressOf(
  uri: ParsedUri, transport: string, parameters: readonly UriParameter[], addresses: Addresses
): Promise<Address> {
  const parameter = (name: string): string | undefined => parameters.find(candidate => candidate.name === name)?.value
  if (transport === 'unix') return { path: fitting(parameter('socket') ?? defaultSocket(uri.path)) }
  if (transport !== 'tcp' && transport !== 'tls') throw new Error(`no transport '${transport}': there are tcp, tls and unix`)
  const host = uri.host.replace(/^\[(.*)\]$/, '$1') || 'localhost'
  const port = uri.port === '' ? PORT[transport] : Number(uri.port)
  if (port === 0 || port > MOST_PORT) throw new Error(`no port ${port}: they go up to ${MOST_PORT}`)
  const own = transport === 'tls' ? certificate(parameter('pkipath')) : undefined
  const address = { host: await answering(await addresses(host), port), port }
  return transport === 'tcp' ? address : { ...address, tls: { ...(own && { own }), confirmation: true } }
}

/** The first of a host's addresses at which somebody listens, or else the first; as libvirt's clients try one after the other. */
async function answering(addresses: readonly string[], port: number): Promise<string> {
  const [first, ...others] = addresses
  if (others.length > 0) for (const address of addresses) if (await canConnect({ host: address, port }, PATIENCE_MS)) return address
  return first!
}

function fitting(socket: string): string {
  if (!fitsUnixAddress(socket)) throw new Error(`the path of a socket has up to 107 bytes, not as ${socket}`)
  return socket
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
