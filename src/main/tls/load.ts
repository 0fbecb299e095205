import { createPrivateKey, type KeyObject } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { reasonOf } from '../../workers/os/libc.js'
import { readPem, type Certificate } from '../../workers/tls/certificate.js'
import { findings, type Role } from '../../workers/tls/certificate-checks.js'
import { chainFailure, isRevoked } from '../../workers/tls/chain.js'
import { pemBlocks, pemText } from '../../workers/tls/pem.js'
import { RevokedSerials } from '../../workers/tls/revoked-serials.js'
import { SecureContext } from '../../workers/tls/secure-context.js'
import type { TlsContext, TlsSettings } from '../../workers/tls/tls-settings.js'
import { EXIT, StartupError } from '../config/startup-error.js'
import type { Pair, TlsFiles } from '../config/tls-files.js'
import type { TlsPriority } from '../config/tls-priority/tls-priority.js'
import { isIssuer, readRevocationLists, type RevocationList } from './revocation.js'

export interface TlsOptions {
  files: TlsFiles
  priority: TlsPriority
  /** Whether our own certificates must pass the checks (`tls_no_sanity_certificate`). */
  sanity: boolean
  verify: boolean
  allowedNames: readonly string[] | undefined
}

export interface LoadedTls {
  settings: TlsSettings
  warnings: string[]
  /** When certificates end, by their file. */
  expiries: { file: string; role: Role; notAfter: number }[]
}

interface Identity {
  file: string
  /** PEM, not encrypted. */
  key: string
  chain: Certificate[]
}

/** Reads all files of a TLS listener and checks what can be checked. Throws a StartupError in libvirt's words. */
export async function loadTls(options: TlsOptions, now = Date.now()): Promise<LoadedTls> {
  const { files, priority, sanity, verify, allowedNames } = options
  const warnings: string[] = []
  const authorities = await readAuthorities(files.ca)
  const identities = await Promise.all((await presentPairs(files)).map(readIdentity))
  if (sanity) warnings.push(...checkOwn(files.ca, authorities, identities, now))
  const revoked = await readRevoked(files.crl, authorities, now, warnings)
  // Nobody revokes himself: a list with the number of a self-signed one comes from a namesake.
  const trusted = authorities.filter(authority => authority.issuer === authority.subject || !isRevoked(authority, revoked))
  if (trusted.length < authorities.length) warnings.push(`'${files.ca}' holds certificates that are revoked`)
  const context: TlsContext = {
    ...priority.negotiation,
    identities: firstOfEachKind(identities, warnings).map(({ chain, key }) => ({ chain: chain.map(pem), key })),
    authorities: trusted.map(pem)
  }
  try {
    // What the actor threads will do with it.
    new SecureContext(context).free()
  } catch (error) {
    refuse(`Unable to set up TLS: ${(error as Error).message}`)
  }
  return {
    settings: {
      context,
      verify,
      least: priority.least,
      allowedNames,
      revoked: priority.revocation ? revoked.shared : RevokedSerials.share([])
    },
    warnings,
    expiries: [
      ...identities.flatMap(({ file, chain }) => expiry(file, 'server', chain.slice(0, 1))),
      ...expiry(files.ca, 'CA', trusted)
    ]
  }
}

const pem = ({ x509 }: Certificate): string => x509.toString()

const expiry = (file: string, role: Role, certificates: readonly Certificate[]): LoadedTls['expiries'] =>
  certificates.map(({ notAfter }) => ({ file, role, notAfter }))

async function readAuthorities(file: string): Promise<Certificate[]> {
  const text = await read(file, 'CA certificate')
  return parse(text, `Unable to import CA certificate list ${file}`)
}

async function presentPairs({ identities, indexed }: TlsFiles): Promise<readonly Pair[]> {
  const present: Pair[] = []
  for (const pair of indexed) {
    if (!(await isThere(pair.certificate)) && !(await isThere(pair.key))) break
    present.push(pair)
  }
  const [first] = identities
  const missing = present.length > 0 && !(await isThere(first!.certificate)) && !(await isThere(first!.key))
  return missing ? present : [...identities, ...present]
}

/** OpenSSL has room for one certificate of each kind of key. */
function firstOfEachKind(identities: readonly Identity[], warnings: string[]): Identity[] {
  const kind = ({ chain }: Identity): string | undefined => chain[0]!.x509.publicKey.asymmetricKeyType
  return identities.filter((identity, index) => {
    const first = identities.findIndex(other => kind(other) === kind(identity))
    if (first < index) {
      const { file } = identities[first]!
      warnings.push(`'${identity.file}' is not used: the key of '${file}' is of the same kind (${kind(identity)})`)
    }
    return first === index
  })
}

async function readIdentity({ certificate: file, key: keyFile }: Pair): Promise<Identity> {
  const certificate = await read(file, 'certificate')
  const key = await read(keyFile, 'private key')
  const chain = parse(certificate, `Unable to import server certificate ${file}`)
  const mismatch = (why: string): never => refuse(`Unable to set x509 key and certificate: ${keyFile}, ${file}: ${why}`)
  const [block] = pemBlocks(key, KEY_LABELS)
  if (block === undefined) return mismatch('there is no private key in it')
  if (block.encrypted) return mismatch('the key is encrypted, and nobody can be asked for its password')
  if (block.unreadable) return mismatch('the key is not in Base64')
  let privateKey: KeyObject
  try {
    privateKey = createPrivateKey(pemText(block))
  } catch (error) {
    return mismatch((error as Error).message)
  }
  if (!chain[0]!.x509.checkPrivateKey(privateKey)) mismatch('The certificate and the given key do not match.')
  return { file, chain, key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string }
}

const KEY_LABELS = ['PRIVATE KEY', 'RSA PRIVATE KEY', 'EC PRIVATE KEY', 'DSA PRIVATE KEY', 'ENCRYPTED PRIVATE KEY']

function parse(text: string, failure: string): Certificate[] {
  let certificates: Certificate[] = []
  try {
    certificates = readPem(text)
  } catch (error) {
    refuse(`${failure}: ${(error as Error).message}`)
  }
  return certificates.length > 0 ? certificates : refuse(failure)
}

/** Returns the warnings; throws for what makes the certificates unusable. */
function checkOwn(caFile: string, authorities: Certificate[], identities: Identity[], now: number): string[] {
  const found = [
    ...identities.flatMap(({ file, chain }) => findings(chain[0]!, file, 'server', now)),
    ...authorities.flatMap(authority => findings(authority, caFile, 'CA', now))
  ]
  const fatal = found.find(finding => finding.fatal)
  if (fatal !== undefined) refuse(fatal.text)
  for (const { file, chain } of identities) {
    const failure = chainFailure(chain[0]!, chain.slice(1), authorities, now)
    if (failure !== undefined) refuse(`Our own certificate ${file} failed validation against ${caFile}: ${failure}`)
  }
  return found.map(({ text }) => text)
}

async function readRevoked(
  file: string | undefined,
  authorities: readonly Certificate[],
  now: number,
  warnings: string[]
): Promise<RevokedSerials> {
  const lists: RevocationList[] = []
  const text = file === undefined ? undefined : await readIfThere(file)
  if (text === undefined) return new RevokedSerials(RevokedSerials.share([]))
  const failed = (why: string): never => refuse(`Unable to set x509 certificate revocation list: ${file}: ${why}`)
  try {
    for (const list of readRevocationLists(text)) {
      const issuers = authorities.filter(authority => isIssuer(list, authority))
      if (issuers.length === 0) warnings.push(`'${file}' holds a list whose issuer is not among the CA certificates`)
      else if (!issuers.some(({ x509 }) => list.signedBy(x509.publicKey))) {
        // E.g. with the former key of an authority that was renewed. It goes by the name, as in GnuTLS.
        warnings.push(`'${file}' holds a list that the CA certificate of its issuer's name has not signed; it counts all the same`)
      }
      if (list.nextUpdate !== undefined && list.nextUpdate < now) {
        warnings.push(`the revocation list '${file}' is out of date since ${new Date(list.nextUpdate).toISOString()}`)
      }
      lists.push(list)
    }
  } catch (error) {
    if (error instanceof StartupError) throw error
    failed((error as Error).message)
  }
  return new RevokedSerials(RevokedSerials.share(lists))
}

async function read(file: string, what: string): Promise<string> {
  try {
    return await readFile(file, 'latin1')
  } catch (error) {
    return refuse(`Cannot read ${what} '${file}': ${reasonOf(error)}`)
  }
}

/** What cannot be looked at is there: reading it gives the reason. */
const isThere = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== 'ENOENT'
  )

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'latin1')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    return refuse(`Unable to set x509 certificate revocation list: ${file}: ${reasonOf(error)}`)
  }
}

function refuse(what: string): never {
  throw new StartupError(what, EXIT.network)
}
