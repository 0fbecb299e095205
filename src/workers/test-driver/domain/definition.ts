import { attribute, copyOf, element, find, setAttribute, textAt, type XmlElement } from '../xml/xml.js'
import { insertInOrder, putText } from './layout.js'

/** Printed with both tags even when empty. */
export const OPEN_ELEMENTS: ReadonlySet<string> = new Set(['devices'])

/** `VIR_DOMAIN_AFFECT_*` */
export const AFFECT = { live: 1, config: 2 } as const

/** Typed access to the figures of one definition; the tree is the only place where they are kept. */
export class Definition {
  constructor(readonly tree: XmlElement) {}

  get name(): string {
    return textAt(this.tree, 'name') ?? ''
  }
  set name(value: string) {
    putText(this.tree, 'name', value)
  }
  /** KiB, as all memory here. */
  get memory(): bigint {
    return BigInt(textAt(this.tree, 'memory') ?? 0)
  }
  set memory(value: bigint) {
    putText(this.tree, 'memory', String(value))
  }
  get currentMemory(): bigint {
    return BigInt(textAt(this.tree, 'currentMemory') ?? 0)
  }
  set currentMemory(value: bigint) {
    putText(this.tree, 'currentMemory', String(value))
  }
  get maxVcpus(): number {
    return Number(textAt(this.tree, 'vcpu') ?? 1)
  }
  set maxVcpus(value: number) {
    const current = this.vcpus
    putText(this.tree, 'vcpu', String(value))
    this.vcpus = Math.min(current, value)
  }
  get vcpus(): number {
    return Number(attribute(find(this.tree, 'vcpu'), 'current') ?? this.maxVcpus)
  }
  set vcpus(value: number) {
    const vcpu = find(this.tree, 'vcpu')
    if (vcpu) setAttribute(vcpu, 'current', value === this.maxVcpus ? undefined : String(value))
  }
  get hasBalloon(): boolean {
    const balloon = find(this.tree, 'devices', 'memballoon')
    return balloon !== undefined && attribute(balloon, 'model') !== 'none'
  }
  /** `<on_poweroff>` and its like. */
  action(name: 'on_poweroff' | 'on_reboot' | 'on_crash'): string {
    return textAt(this.tree, name) ?? ''
  }
  /** The child with that name, made in its place if needed. */
  section(name: string): XmlElement {
    let found = find(this.tree, name)
    if (!found) insertInOrder(this.tree, (found = element(name)))
    return found
  }
  copy(): Definition {
    return new Definition(copyOf(this.tree))
  }
}
