import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cleanup } from './cleanup.js'
import { mustRun } from './processes.js'
import { tempDir } from './temp-dir.js'

/** A certificate with its key. */
export interface Credentials {
  certificate: string
  key: string
}

/** Who signs; `chain`: certificates that go with what it signs. */
export interface Authority extends Credentials {
  chain?: string
}

/** A template that certtool reads: fields with their values, or true for those without. */
export type Template = Record<string, string | string[] | number | true>

/** Keys are made once and shared: they are what takes time, and nothing here depends on them. */
const KEY_KINDS = {
  rsa: ['--key-type=rsa', '--bits=2048'],
  'rsa-1024': ['--key-type=rsa', '--bits=1024'],
  'rsa-3072': ['--key-type=rsa', '--bits=3072'],
  ecdsa: ['--key-type=ecdsa', '--curve=secp256r1'],
  'ecdsa-384': ['--key-type=ecdsa', '--curve=secp384r1'],
  ed25519: ['--key-type=ed25519']
}

export type KeyKind = keyof typeof KEY_KINDS

interface Signing {
  by?: Authority
  kind?: KeyKind
}

/** Certificates of a test, made with GnuTLS's certtool or with openssl, in a directory of its own. */
export class Pki {
  readonly #keys = new Map<string, string>()
  #count = 0

  private constructor(
    readonly dir: string,
    public ca: Authority
  ) {}

  static async make(cleanup: Cleanup): Promise<Pki> {
    const pki = new Pki(await tempDir(cleanup), { certificate: '', key: '' })
    pki.ca = await pki.authority('Test CA')
    return pki
  }

  /** A self-signed one with the template of libvirt's documentation, which allows no signing of revocation lists. */
  async authority(name: string, more: Template = {}, kind: KeyKind = 'ecdsa'): Promise<Authority> {
    const key = await this.key(kind, name)
    return { key, certificate: await this.#certtool({ cn: name, ca: true, cert_signing_key: true, ...more }, key, undefined) }
  }

  /** One signed by another authority. */
  async intermediate(name: string, by = this.ca): Promise<Authority> {
    const key = await this.key('ecdsa', name)
    const template = { cn: name, ca: true, cert_signing_key: true } as const
    const certificate = await this.#certtool(template, key, by)
    return { key, certificate, chain: certificate }
  }

  /** A server's, for 127.0.0.1. */
  async server(more: Template = {}, { by = this.ca, kind = 'rsa' }: Signing = {}): Promise<Credentials> {
    const key = await this.key(kind)
    const template = { cn: '127.0.0.1', ip_address: '127.0.0.1', tls_www_server: true, ...USES, ...more } as const
    return { key, certificate: await this.#certtool(template, key, by) }
  }

  async client(more: Template = {}, { by = this.ca, kind = 'ecdsa' }: Signing = {}): Promise<Credentials> {
    const key = await this.key(kind)
    return { key, certificate: await this.#certtool({ cn: 'client', tls_www_client: true, ...USES, ...more }, key, by) }
  }

  /** A client's made with openssl. `subject` as for `-subj`, `extensions` as in openssl's configuration. */
  async opensslClient(
    subject: string,
    extensions: readonly string[],
    kind: KeyKind = 'rsa',
    { by = this.ca, digest = 'sha256' }: { by?: Authority; digest?: string | undefined } = {}
  ): Promise<Credentials> {
    const key = await this.key(kind)
    const request = this.#file('request')
    const extensionFile = this.#file('extensions')
    const certificate = this.#file('certificate')
    await writeFile(extensionFile, extensions.join('\n'))
    await mustRun(['openssl', 'req', '-new', '-utf8', '-multivalue-rdn', '-key', key, '-subj', subject, '-out', request])
    await mustRun([
      'openssl', 'x509', '-req', '-in', request, '-CA', by.certificate, '-CAkey', by.key, `-${digest}`,
      '-set_serial', String(1000 + this.#count), '-days', '30', '-extfile', extensionFile, '-out', certificate
    ])
    return { key, certificate }
  }

  /** A revocation list with these certificates. */
  async revoke(certificates: readonly string[], by = this.ca, more: Template = {}): Promise<string> {
    const template = await this.#template({ crl_next_update: 30, crl_number: this.#count, ...more })
    const list = this.#file('crl')
    const revoked = this.#file('revoked')
    await writeFile(revoked, (await Promise.all(certificates.map(file => readFile(file, 'utf8')))).join(''))
    await mustRun([
      'certtool', '--generate-crl', '--load-ca-certificate', by.certificate, '--load-ca-privkey', by.key,
      '--load-certificate', revoked, '--template', template, '--outfile', list
    ])
    return list
  }

  /** A directory for the `pkipath` of a client's URI; without credentials it holds the CA certificate only. */
  async pkipath(credentials?: Credentials, ca = this.ca.certificate): Promise<string> {
    const dir = this.#file('pki')
    await mkdir(dir)
    await copyFile(ca, join(dir, 'cacert.pem'))
    if (credentials === undefined) return dir
    await copyFile(credentials.certificate, join(dir, 'clientcert.pem'))
    await copyFile(credentials.key, join(dir, 'clientkey.pem'))
    return dir
  }

  /** What libvirt's own tool says of a certificate: its name in libvirt's form. */
  async nameOf(certificate: string): Promise<string> {
    return (await mustRun(['virt-pki-query-dn', certificate])).stdout.trimEnd()
  }

  async key(kind: KeyKind, owner = ''): Promise<string> {
    const name = `${kind} ${owner}`
    const known = this.#keys.get(name)
    if (known !== undefined) return known
    const file = this.#file('key')
    this.#keys.set(name, file)
    await mustRun(['certtool', '--generate-privkey', ...KEY_KINDS[kind], '--outfile', file])
    return file
  }

  /** Signed by `by`, or by itself. */
  async #certtool(fields: Template, key: string, by: Authority | undefined): Promise<string> {
    const template = await this.#template({ serial: 1 + this.#count, expiration_days: 30, ...fields })
    const certificate = this.#file('certificate')
    const signer =
      by === undefined
        ? ['--generate-self-signed']
        : ['--generate-certificate', '--load-ca-certificate', by.certificate, '--load-ca-privkey', by.key]
    await mustRun(['certtool', ...signer, '--load-privkey', key, '--template', template, '--outfile', certificate])
    if (by?.chain !== undefined) {
      await writeFile(certificate, (await readFile(certificate, 'utf8')) + (await readFile(by.chain, 'utf8')))
    }
    return certificate
  }

  async #template(fields: Template): Promise<string> {
    const file = this.#file('template')
    const line = (name: string, value: string | number | true): string =>
      value === true ? name : `${name} = ${typeof value === 'number' ? value : `"${value}"`}`
    const lines = Object.entries(fields).flatMap(([name, value]) =>
      Array.isArray(value) ? value.map(item => line(name, item)) : [line(name, value)]
    )
    await writeFile(file, `${lines.join('\n')}\n`)
    return file
  }

  #file(kind: string): string {
    return join(this.dir, `${kind}-${++this.#count}`)
  }
}

const USES = { signing_key: true, encryption_key: true } as const
