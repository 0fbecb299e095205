export type TransportKind = 'unix' | 'tcp' | 'tls'
export type AuthMethod = 'none' | 'sasl' | 'polkit'

/** What a listener is for. Sockets for several addresses can be of one kind. */
export interface ListenerKind {
  /** For logs, and for the admin interface. */
  name: string
  transport: TransportKind
  readonly: boolean
  auth: AuthMethod
}

/** Kinds that come from another thread, each as an object of its own: one is enough for all that are equal. */
export class ListenerKinds {
  readonly #known = new Map<string, ListenerKind>()

  one(kind: ListenerKind): ListenerKind {
    const key = `${kind.name} ${kind.transport} ${kind.readonly} ${kind.auth}`
    const known = this.#known.get(key)
    if (known === undefined) this.#known.set(key, kind)
    return known ?? kind
  }
}
