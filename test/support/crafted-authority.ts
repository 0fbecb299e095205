import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { Cleanup } from './cleanup.js'
import { commonName, craft, credentials, isAuthority, type Crafting } from './crafted-certificates.js'
import type { Credentials } from './pki.js'
import { tempDir } from './temp-dir.js'

const NAME = commonName('Crafted CA')

/** An authority with a server's certificate, and clients' of any make. */
export class CraftedAuthority {
  readonly #key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  #serial = 1

  private constructor(readonly dir: string) {}

  static async make(cleanup: Cleanup): Promise<CraftedAuthority> {
    return new CraftedAuthority(await tempDir(cleanup))
  }

  /** A certificate of this authority. */
  certificate(crafting: Crafting = {}): Buffer {
    return craft({ subject: commonName('client'), ...crafting, issuer: NAME, signer: this.#key, serial: ++this.#serial })
  }

  /** What a client needs that shows this certificate, by this authority, and those sent along. */
  client(crafting: Crafting = {}, ...along: Buffer[]): Credentials {
    return credentials(this.dir, [this.certificate(crafting), ...along], crafting.key)
  }

  /** What a client needs that shows these certificates, whoever made them. */
  stranger(certificates: readonly Buffer[], key?: KeyObject): Credentials {
    return credentials(this.dir, certificates, key)
  }

  get ca(): Credentials {
    const certificate = craft({ subject: NAME, key: this.#key, extensions: [isAuthority()] })
    return credentials(this.dir, [certificate], this.#key)
  }

  /** For the broker's TLS listener. */
  server(): Credentials {
    const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    return credentials(this.dir, [this.certificate({ subject: commonName('127.0.0.1'), key })], key)
  }
}
