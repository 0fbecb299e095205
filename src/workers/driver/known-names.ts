import { resolveName } from '../../protocol/uri.js'
import type { ActorSettings } from '../thread/settings.js'
import { wayTo, wayToAny, type Way } from './driver-sockets.js'

/** Clients choose the names, so there must be an end to what is kept. */
const MAX_NAMES = 64
const MAX_LENGTH = 256

/**
 * The names that clients open, and the sockets that may serve them. Each is worked out once: nearly all clients of a
 * host open the same one or two, and it costs as much as the rest of the broker's own part in a connection.
 */
export class KnownNames {
  readonly #aliases: ReadonlyMap<string, string>
  readonly #known = { readOnly: new Map<string, Way>(), readWrite: new Map<string, Way>() }

  /** Of other settings nothing is known here. */
  constructor(readonly settings: ActorSettings) {
    this.#aliases = new Map(settings.uriAliases)
  }

  /** Throws the RemoteError that the client gets for a name which leads nowhere. */
  find(name: string | undefined, readonly: boolean): Way {
    const ways = readonly ? this.#known.readOnly : this.#known.readWrite
    const key = name ?? ''
    let way = ways.get(key)
    if (way !== undefined) return way
    way = this.#workOut(name, readonly)
    if (key.length > MAX_LENGTH) return way
    if (ways.size >= MAX_NAMES) ways.clear()
    ways.set(key, way)
    return way
  }

  #workOut(name: string | undefined, readonly: boolean): Way {
    const resolved = resolveName(name, { aliases: this.#aliases })
    return resolved === undefined ? wayToAny(readonly, this.settings) : wayTo(resolved, readonly, this.settings)
  }
}
