/** A point of time of a domain, which can be gone back to or counted from: a snapshot or a checkpoint. */
export interface Moment {
  name: string
  /** The name of the one before it, which may be gone. */
  parent: string | undefined
}

/** Flags of the calls that delete a moment; snapshots and checkpoints have the same. */
export const DELETE = { children: 1, metadataOnly: 2, childrenOnly: 4 } as const

/** The moments of one kind that a domain has: a forest, of which one may be the current one. */
export class Moments<T extends Moment> {
  readonly #byName = new Map<string, T>()
  current: T | undefined

  /** @param missing - the error for a name that is not there */
  constructor(readonly missing: (name: string) => Error) {}

  get all(): T[] {
    return [...this.#byName.values()]
  }

  get size(): number {
    return this.#byName.size
  }

  find(name: string): T | undefined {
    return this.#byName.get(name)
  }

  get(name: string): T {
    const found = this.#byName.get(name)
    if (!found) throw this.missing(name)
    return found
  }

  add(moment: T): void {
    this.#byName.set(moment.name, moment)
  }

  children(of: T | undefined): T[] {
    return this.all.filter(one => one.parent === of?.name)
  }

  /** Those below, the nearer ones before those below them. */
  descendants(of: T | undefined): T[] {
    return this.children(of).flatMap(child => [child, ...this.descendants(child)])
  }

  /** As the flags say, with those below it, or these alone; else they come under its parent. */
  delete(moment: T, flags: number): void {
    if (flags & (DELETE.children | DELETE.childrenOnly)) {
      const gone = this.descendants(moment)
      if (this.current !== undefined && gone.includes(this.current)) this.current = moment
      for (const { name } of gone) this.#byName.delete(name)
    } else for (const child of this.children(moment)) child.parent = moment.parent
    if (flags & DELETE.childrenOnly) return
    if (this.current === moment) this.current = moment.parent === undefined ? undefined : this.find(moment.parent)
    this.#byName.delete(moment.name)
  }
}
