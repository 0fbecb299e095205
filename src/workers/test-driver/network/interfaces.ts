import { DOMAIN } from '../../../protocol/errors.js'
import { invalid, noInterface, xmlFailure } from '../failures.js'
import { orderChildren } from '../xml/order.js'
import { attribute, copyOf, find, type XmlElement } from '../xml/xml.js'

const TYPES = new Set(['ethernet', 'bridge', 'bond', 'vlan'])
const START_MODES = new Set(['none', 'onboot', 'hotplug'])
/** Order in which `virInterfaceDefFormat` prints. */
const ORDER = ['start', 'mtu', 'protocol', 'mac', 'bridge', 'bond', 'vlan']
export class Interface {
  active = false
  constructor(readonly definition: XmlElement) {}
  get name(): string {
    return attribute(this.definition, 'name')!
  }
  get mac(): string {
    return attribute(find(this.definition, 'mac'), 'address') ?? ''
  }
}

/** A host interface's definition as libvirt keeps it. Throws libvirt's error. */
export function completeInterface(given: XmlElement): XmlElement {
  const type = attribute(given, 'type')
  if (type === undefined) throw xmlFailure("Missing required attribute 'type' in element 'interface'", DOMAIN.none)
  if (!TYPES.has(type))
    throw xmlFailure(`Invalid value for attribute 'type' in element 'interface': '${type}'.`, DOMAIN.none)
  if (attribute(given, 'name') === undefined) throw xmlFailure('interface has no name', DOMAIN.interface)
  const mode = attribute(find(given, 'start'), 'mode')
  if (mode !== undefined && !START_MODES.has(mode))
    throw xmlFailure(`unknown interface startmode ${mode}`, DOMAIN.interface)
  const tree = copyOf(given)
  orderChildren(tree, ORDER)
  return tree
}

export class Interfaces {
  #byName = new Map<string, Interface>()
  /** What a rollback returns to, while a transaction runs. */
  #backup: Map<string, Interface> | undefined

  get all(): Interface[] {
    return [...this.#byName.values()]
  }

  get(name: string): Interface {
    const found = this.#byName.get(name)
    if (!found) throw noInterface(`no interface with matching name '${name}'`)
    return found
  }

  put(definition: XmlElement): Interface {
    const fresh = new Interface(definition)
    fresh.active = this.#byName.get(fresh.name)?.active ?? false
    this.#byName.set(fresh.name, fresh)
    return fresh
  }

  remove(iface: Interface): void {
    this.#byName.delete(iface.name)
  }

  begin(): void {
    if (this.#backup) throw invalid('there is another transaction running.')
    // libvirt's copy knows definitions only: after a rollback nothing is active.
    this.#backup = new Map(this.all.map(iface => [iface.name, new Interface(copyOf(iface.definition))]))
  }

  commit(): void {
    if (!this.#backup) throw invalid('no transaction running, nothing to be committed.')
    this.#backup = undefined
  }

  rollback(): void {
    if (!this.#backup) throw invalid('no transaction running, nothing to rollback.')
    this.#byName = this.#backup
    this.#backup = undefined
  }
}
