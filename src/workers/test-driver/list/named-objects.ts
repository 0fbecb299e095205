import { invalid, operationFailed } from '../failures.js'
import { formatUuid } from '../xml/uuid.js'
import type { XmlElement } from '../xml/xml.js'

/** What has a UUID and a name of its own, and a definition that can be replaced. */
export interface NamedObject {
  definition: XmlElement
  readonly uuid: Buffer
  readonly name: string
  readonly active: boolean
  persistent: boolean
}

/** What libvirt calls the objects of one kind. */
export interface Kind {
  /** In what is said of one. */
  readonly called: string
  /** The part that raises the errors. */
  readonly domain: number
  /** The error for one that is not there. */
  missing(detail: string): Error
  /** In that error. */
  readonly missed: string
}

/** The objects of one kind that a hypervisor has: no two have the same name. */
export class NamedObjects<T extends NamedObject> {
  readonly #byUuid = new Map<string, T>()
  constructor(readonly kind: Kind) {}

  get all(): T[] {
    return [...this.#byUuid.values()]
  }

  byName(name: string): T {
    const found = this.#named(name)
    if (!found) throw this.kind.missing(`no ${this.kind.missed} with matching name '${name}'`)
    return found
  }

  byUuid(uuid: Buffer): T {
    const found = this.#byUuid.get(uuid.toString('hex'))
    if (!found) throw this.kind.missing(`no ${this.kind.missed} with matching uuid '${formatUuid(uuid)}'`)
    return found
  }

  /**
   * Adds or replaces. `live`: the definition is to be started, so nothing active may stand in its way. `check` is asked
   * once name and UUID are found to go together, and may throw; it is told of the one that is replaced.
   */
  put(fresh: T, live: boolean, check?: (same: T | undefined) => void): T {
    const { called, domain } = this.kind
    const key = fresh.uuid.toString('hex')
    const same = this.#byUuid.get(key)
    if (same && same.name !== fresh.name)
      throw operationFailed(`${called} '${same.name}' is already defined with uuid ${formatUuid(same.uuid)}`, domain)
    const namesake = same ? undefined : this.#named(fresh.name)
    if (namesake)
      throw operationFailed(`${called} '${fresh.name}' already exists with uuid ${formatUuid(namesake.uuid)}`, domain)
    check?.(same)
    if (!same) {
      this.#byUuid.set(key, fresh)
      return fresh
    }
    if (live && same.active) throw invalid(`${called} is already active as '${same.name}'`, domain)
    if (!live) same.persistent = true
    same.definition = fresh.definition
    return same
  }

  remove({ uuid }: T): void {
    this.#byUuid.delete(uuid.toString('hex'))
  }

  #named(name: string): T | undefined {
    for (const object of this.#byUuid.values()) if (object.name === name) return object
    return undefined
  }
}
