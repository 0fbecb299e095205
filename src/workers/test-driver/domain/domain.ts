import { DOMAIN } from '../../../protocol/errors.js'
import type { EventHub } from '../event/event-hub.js'
import { badArgument, internal, invalid } from '../failures.js'
import { newCheckpoints } from '../moment/checkpoints.js'
import { newSnapshots } from '../moment/snapshots.js'
import type { DomainRef } from '../wire.js'
import { parseUuid } from '../xml/uuid.js'
import { printXml, setAttribute, textAt } from '../xml/xml.js'
import { AFFECT, OPEN_ELEMENTS, type Definition } from './definition.js'
import { isActive, RUNNING, SHUTOFF, STATE, transition, type Operation, type Refusal, type State } from './states.js'

const EXCLUSIVE = "Flags 'VIR_DOMAIN_AFFECT_LIVE' and 'VIR_DOMAIN_AFFECT_CONFIG' are mutually exclusive"

export class Domain {
  readonly uuid: Buffer
  /** What runs, or, while the domain is off, what would. */
  definition: Definition
  /** What the next start will use, while the domain runs and is persistent. */
  next: Definition | undefined
  id = -1
  state: State = STATE.shutoff
  reason: number = SHUTOFF.unknown
  persistent: boolean
  autostart = false
  managedSave = false
  readonly snapshots = newSnapshots()
  readonly checkpoints = newCheckpoints()
  /** The guest's clock, which users can set: seconds and nanoseconds. */
  time: { seconds: bigint; nanoseconds: number } = { seconds: 627_319_920n, nanoseconds: 0 }
  /** Frozen file systems, of the two that a guest pretends to have. */
  readonly frozen = new Set<string>()

  constructor(definition: Definition, persistent: boolean) {
    this.definition = definition
    this.uuid = parseUuid(textAt(definition.tree, 'uuid')!)!
    this.persistent = persistent
  }

  get name(): string {
    return this.definition.name
  }
  get active(): boolean {
    return isActive(this.state)
  }
  get key(): string {
    return this.uuid.toString('hex')
  }
  ref(): DomainRef {
    return { name: this.name, uuid: this.uuid, id: this.id }
  }

  /** Throws libvirt's usual refusal if the domain is off. */
  requireActive(): void {
    if (!this.active) throw invalid('domain is not running')
  }

  /** Makes the transition or throws the refusal; says nothing to anybody. `nextId` gives a started domain its id. */
  move(operation: Operation, name: string, nextId: () => number): void {
    const row = transition(this.state, operation)
    if (typeof row === 'string') throw refusal(row, name)
    this.become(row.to, row.reason, nextId)
  }

  /** Puts the domain into a state, with all that belongs to starting and stopping. */
  become(state: State, reason: number, nextId: () => number): void {
    const was = this.active
    this.state = state
    this.reason = reason
    if (!was && this.active) {
      this.id = nextId()
      this.managedSave = false
      if (this.persistent) this.next = this.definition.copy()
    } else if (was && !this.active) {
      // A transient domain is gone after this, and its last event still has its id.
      if (!this.next) return
      this.id = -1
      this.definition = this.next
      this.next = undefined
    }
  }

  /** The definition that a read or change with these flags is about (`virDomainObjGetOneDef`). */
  definitionFor(flags: number): Definition {
    if ((flags & AFFECT.live) !== 0 && (flags & AFFECT.config) !== 0)
      throw badArgument(EXCLUSIVE, 'virDomainObjGetOneDefState', 'flags', DOMAIN.domain)
    const { live, config } = this.definitionsFor(flags)
    return live ?? config!
  }

  /** What a change with these flags touches (`virDomainObjGetDefs`); none of the flags means the current state. */
  definitionsFor(flags: number): { live?: Definition; config?: Definition } {
    const wanted = flags & (AFFECT.live | AFFECT.config) || (this.active ? AFFECT.live : AFFECT.config)
    if (wanted & AFFECT.live && !this.active) throw invalid('domain is not running')
    if (wanted & AFFECT.config && !this.persistent) throw invalid('transient domains do not have any persistent config')
    const config = this.next ?? this.definition
    return { ...(wanted & AFFECT.live && { live: this.definition }), ...(wanted & AFFECT.config && { config }) }
  }

  /** `flags`: 2 asks for the definition of the next start. */
  describe(flags: number): string {
    const definition = (flags & 2 && this.next) || this.definition
    const tree = { ...definition.tree, attributes: [...definition.tree.attributes] }
    if (this.active && definition === this.definition) setAttribute(tree, 'id', String(this.id))
    return printXml(tree, 0, OPEN_ELEMENTS)
  }

  /** Tells everybody about the last transition. */
  announce(events: EventHub, event: number, detail: number): void {
    events.domainLifecycle(this.ref(), event, detail)
  }
}

function refusal(kind: Refusal, name: string): Error {
  switch (kind) {
    case 'not-running':
      return invalid('domain is not running')
    case 'named-not-running':
      return internal(`domain '${name}' not running`)
    case 'named-not-paused':
      return internal(`domain '${name}' not paused`)
    case 'named-already-running':
      return internal(`Domain '${name}' is already running`)
  }
}

/** How a definition file says that its domain is to be found: running unless it says else, with reason 0. */
export const FOUND_RUNNING = { state: STATE.running, reason: RUNNING.unknown } as const
