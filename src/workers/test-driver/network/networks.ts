import { DOMAIN } from '../../../protocol/errors.js'
import { noNetwork } from '../failures.js'
import { NamedObjects, type NamedObject } from '../list/named-objects.js'
import { parseUuid } from '../xml/uuid.js'
import { textAt, type XmlElement } from '../xml/xml.js'

export class Network implements NamedObject {
  definition: XmlElement
  readonly uuid: Buffer
  active = false
  persistent: boolean
  autostart = false

  constructor(definition: XmlElement, persistent: boolean) {
    this.definition = definition
    this.uuid = parseUuid(textAt(definition, 'uuid')!)!
    this.persistent = persistent
  }
  get name(): string {
    return textAt(this.definition, 'name')!
  }
}

export class Networks extends NamedObjects<Network> {
  constructor() {
    super({ called: 'network', domain: DOMAIN.network, missing: noNetwork, missed: 'network' })
  }

  /** Adds or replaces. `live`: it is to be started. Throws libvirt's error. */
  define(definition: XmlElement, live: boolean): Network {
    return this.put(new Network(definition, !live), live)
  }
}
