import { DOMAIN } from '../../../protocol/errors.js'
import { internal, noNodeDevice, xmlFailure } from '../failures.js'
import { attribute, childrenNamed, copyOf, find, textAt, type XmlElement } from '../xml/xml.js'

/** The device that a new virtual port is a copy of, and the name that it gets: the test driver knows one only. */
const PATTERN = 'scsi_host11'
const CREATED = 'scsi_host12'

/** Throws libvirt's error for a definition that it would not take. */
export function completeDevice(given: XmlElement): XmlElement {
  if (textAt(given, 'name') === undefined) throw xmlFailure('missing name element', DOMAIN.nodedev)
  if (childrenNamed(given, 'capability').length === 0)
    throw internal(`no device capabilities for '${textAt(given, 'name')}'`, DOMAIN.nodedev)
  return copyOf(given)
}

export class NodeDevice {
  constructor(readonly definition: XmlElement) {}
  get name(): string {
    return textAt(this.definition, 'name')!
  }
  get parent(): string | undefined {
    return textAt(this.definition, 'parent')
  }
  /** Kinds of what the device can do; a host bus adapter's own come after its first. */
  get capabilities(): string[] {
    return childrenNamed(this.definition, 'capability').map(capability => attribute(capability, 'type') ?? '')
  }
  /** With those inside: `fc_host`, and `vports` for an adapter that can make ports. */
  get allCapabilities(): string[] {
    const inner = childrenNamed(this.definition, 'capability').flatMap(capability =>
      childrenNamed(capability, 'capability').map(one => attribute(one, 'type') ?? '')
    )
    return [...this.capabilities, ...inner.map(type => (type === 'vport_ops' ? 'vports' : type))]
  }
  /** World wide names of a fibre channel adapter. */
  get fibre(): XmlElement | undefined {
    return childrenNamed(find(this.definition, 'capability'), 'capability').find(
      one => attribute(one, 'type') === 'fc_host'
    )
  }
}

export class NodeDevices {
  readonly #byName = new Map<string, NodeDevice>()

  get all(): NodeDevice[] {
    return [...this.#byName.values()]
  }
  has(name: string): boolean {
    return this.#byName.has(name)
  }
  get(name: string): NodeDevice {
    const found = this.#byName.get(name)
    if (!found) throw noNodeDevice(`no node device with matching name '${name}'`)
    return found
  }
  put(definition: XmlElement): NodeDevice {
    const device = new NodeDevice(definition)
    this.#byName.set(device.name, device)
    return device
  }

  /** A virtual port with the names of `wanted`. */
  create(wanted: XmlElement): NodeDevice {
    if (childrenNamed(wanted, 'capability').length === 0)
      throw internal("no device capabilities for 'new device'", DOMAIN.nodedev)
    const ask = new NodeDevice(wanted)
    const fibre = ask.fibre
    if (!fibre) throw internal('Device is not a fibre channel HBA', DOMAIN.nodedev)
    if (ask.parent === undefined || !this.has(ask.parent))
      throw internal("Could not find parent device for 'new device'", DOMAIN.nodedev)
    const made = copyOf(this.get(PATTERN).definition)
    find(made, 'name')!.children = [CREATED]
    const names = new NodeDevice(made).fibre!
    for (const name of ['wwnn', 'wwpn']) find(names, name)!.children = [textAt(fibre, name) ?? '']
    return this.put(made)
  }

  /**
   * Whether it is gone now: only a virtual port goes away. For anything else libvirt's test driver says yes and does
   * nothing, and so here.
   */
  destroy(device: NodeDevice): boolean {
    if (!device.fibre || device.parent === undefined || !this.has(device.parent)) return false
    return this.#byName.delete(device.name)
  }
}
