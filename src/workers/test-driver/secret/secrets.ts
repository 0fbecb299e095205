import { DOMAIN } from '../../../protocol/errors.js'
import { internal, noSecret } from '../failures.js'
import type { SecretRef } from '../wire.js'
import { formatUuid } from '../xml/uuid.js'
import { attribute, type XmlElement } from '../xml/xml.js'

export class Secret implements SecretRef {
  value: Buffer | undefined
  constructor(
    readonly definition: XmlElement,
    readonly uuid: Buffer,
    readonly usageType: number,
    readonly usageId: string
  ) {}
  get ephemeral(): boolean {
    return attribute(this.definition, 'ephemeral') === 'yes'
  }
  get private(): boolean {
    return attribute(this.definition, 'private') === 'yes'
  }
}

export class Secrets {
  readonly #byUuid = new Map<string, Secret>()

  get all(): Secret[] {
    return [...this.#byUuid.values()]
  }

  get(uuid: Buffer): Secret {
    const found = this.#byUuid.get(uuid.toString('hex'))
    if (!found) throw noSecret(`no secret with matching uuid '${formatUuid(uuid)}'`, DOMAIN.secret)
    return found
  }

  define(fresh: Secret): void {
    const key = fresh.uuid.toString('hex')
    const same = this.#byUuid.get(key)
    const uuid = (of: Secret): string => formatUuid(of.uuid)
    if (same && (same.usageType !== fresh.usageType || same.usageId !== fresh.usageId))
      throw internal(`a secret with UUID ${uuid(same)} is already defined for use with ${same.usageId}`, DOMAIN.secret)
    const rival = this.all.find(
      one => one !== same && fresh.usageType !== 0 && one.usageType === fresh.usageType && one.usageId === fresh.usageId
    )
    if (rival)
      throw internal(`a secret with UUID ${uuid(rival)} already defined for use with ${rival.usageId}`, DOMAIN.secret)
    if (same?.private && !fresh.private) throw internal(`cannot change private flag on existing secret`, DOMAIN.secret)
    fresh.value = same?.value
    this.#byUuid.set(key, fresh)
  }

  undefine(secret: Secret): void {
    this.#byUuid.delete(secret.uuid.toString('hex'))
  }
}
