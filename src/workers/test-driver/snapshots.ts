import { noSnapshot } from './failures.js'
import type { Definition } from './domain.js'
import type { XmlElement } from './xml.js'

export interface Snapshot {
  name: string
  /** State of the domain when it was taken, as the definition prints it: `running`, `shutoff`, … */
  state: string
  /** Seconds since 1970 */
  created: number
  description: string | undefined
  parent: string | undefined
  /** The domain as it was; a redefined snapshot may lack it. */
  domain: Definition | undefined
  memory: XmlElement
  disks: XmlElement | undefined
}

/** The snapshots of one domain: a forest, of which one may be the current one. */
export class Snapshots {
  readonly #byName = new Map<string, Snapshot>()
  current: Snapshot | undefined

  get all(): Snapshot[] {
    return [...this.#byName.values()]
  }
  get size(): number {
    return this.#byName.size
  }
  has(name: string): boolean {
    return this.#byName.has(name)
  }
  get(name: string): Snapshot {
    const found = this.#byName.get(name)
    if (!found) throw noSnapshot(`no domain snapshot with matching name '${name}'`)
    return found
  }
  add(snapshot: Snapshot): void {
    this.#byName.set(snapshot.name, snapshot)
  }
  children(of: Snapshot | undefined): Snapshot[] {
    return this.all.filter(one => one.parent === of?.name)
  }
  /** Those below, the nearer ones before those below them. */
  descendants(of: Snapshot | undefined): Snapshot[] {
    return this.children(of).flatMap(child => [child, ...this.descendants(child)])
  }
  remove(snapshot: Snapshot): void {
    this.#byName.delete(snapshot.name)
  }
}
