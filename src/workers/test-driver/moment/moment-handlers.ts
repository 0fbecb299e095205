import { REMOTE } from '../../../protocol/procedures.js'
import type { Call, Handler, HandlerTable } from '../call.js'
import type { Domain } from '../domain/domain.js'
import { checkFlags } from '../failures.js'
import { readDomain, readSnapshot, writeList, writeSnapshot, type SnapshotRef } from '../wire.js'
import type { Moment, Moments } from './moments.js'

/** Flags of the calls that list. Those of roots and descendants are the same bit, of different calls. */
const LIST = { roots: 1, descendants: 1, leaves: 4, noLeaves: 8 } as const

/** What tells the calls on snapshots from those on checkpoints. */
export interface MomentKind<T extends Moment> {
  /** As in the names of C functions. */
  readonly called: 'Snapshot' | 'Checkpoint'
  of(domain: Domain): Moments<T>
  /** Throws the error for one without a parent. */
  noParent(moment: T): Error
  readonly listFlags: number
  /** The one of them that wants each moment after its parent. */
  readonly topological: number
  /** Whether the flags of this kind alone let it through. */
  fits(moment: T, flags: number): boolean
  readonly deleteFlags: number
}

export const momentRef = (domain: Domain, { name }: Moment): SnapshotRef => ({ name, domain: domain.ref() })

/** What the flags let through; bits of one group are alternatives. */
function filtered<T extends Moment>(kind: MomentKind<T>, moments: Moments<T>, found: T[], flags: number): T[] {
  const group = flags & (LIST.leaves | LIST.noLeaves)
  const leafFits = (moment: T): boolean =>
    group === 0 || (group & (moments.children(moment).length === 0 ? LIST.leaves : LIST.noLeaves)) !== 0
  return found.filter(moment => leafFits(moment) && kind.fits(moment, flags))
}

/** The moments of a domain that a call with these flags is about. */
export function momentsOf<T extends Moment>(kind: MomentKind<T>, domain: Domain, flags: number): T[] {
  const moments = kind.of(domain)
  const sorted = flags & kind.topological ? moments.descendants(undefined) : moments.all
  return filtered(kind, moments, flags & LIST.roots ? moments.children(undefined) : sorted, flags)
}

/** As `momentsOf`, of those below one. */
export function momentsBelow<T extends Moment>(kind: MomentKind<T>, domain: Domain, of: T, flags: number): T[] {
  const moments = kind.of(domain)
  return filtered(kind, moments, flags & LIST.descendants ? moments.descendants(of) : moments.children(of), flags)
}

/** A call on a moment, with flags after it. */
export const onMoment =
  <T extends Moment>(kind: MomentKind<T>) =>
    (allowed: number, cFunction: string, act: (call: Call, domain: Domain, moment: T, flags: number) => void): Handler =>
      call => {
        const ref = readSnapshot(call.args)
        const flags = call.args.u32()
        checkFlags(flags, allowed, cFunction)
        const domain = call.hypervisor.domain(ref.domain)
        act(call, domain, kind.of(domain).get(ref.name), flags)
      }

/** Whether results are wanted, and flags. */
function listArguments({ args }: Call, allowed: number, cFunction: string): [wanted: boolean, flags: number] {
  const [wanted, flags] = [args.i32() !== 0, args.u32()]
  checkFlags(flags, allowed, cFunction)
  return [wanted, flags]
}

function writeMoments(call: Call, domain: Domain, moments: Moment[], wanted: boolean): void {
  const refs = moments.map(moment => momentRef(domain, moment))
  writeList(call.reply, refs, wanted, writeSnapshot)
}

/** The calls that both kinds have. */
export function momentHandlers<T extends Moment>(kind: MomentKind<T>): HandlerTable {
  const { called } = kind
  const on = onMoment(kind)
  return {
    [REMOTE[`domainListAll${called}s`]]: call => {
      const ref = readDomain(call.args)
      const [wanted, flags] = listArguments(call, kind.listFlags, `testDomainListAll${called}s`)
      const domain = call.hypervisor.domain(ref)
      writeMoments(call, domain, momentsOf(kind, domain, flags), wanted)
    },
    [REMOTE[`domain${called}ListAllChildren`]]: call => {
      const ref = readSnapshot(call.args)
      const [wanted, flags] = listArguments(call, kind.listFlags, `testDomain${called}ListAllChildren`)
      const domain = call.hypervisor.domain(ref.domain)
      writeMoments(call, domain, momentsBelow(kind, domain, kind.of(domain).get(ref.name), flags), wanted)
    },
    [REMOTE[`domain${called}LookupByName`]]: ({ hypervisor, args, reply }) => {
      const ref = readDomain(args)
      const name = args.string()
      checkFlags(args.u32(), 0, `testDomain${called}LookupByName`)
      const domain = hypervisor.domain(ref)
      writeSnapshot(reply, momentRef(domain, kind.of(domain).get(name)))
    },
    [REMOTE[`domain${called}GetParent`]]: on(0, `testDomain${called}GetParent`, (call, domain, moment) => {
      if (moment.parent === undefined) throw kind.noParent(moment)
      writeSnapshot(call.reply, { name: moment.parent, domain: domain.ref() })
    }),
    [REMOTE[`domain${called}Delete`]]: on(kind.deleteFlags, `testDomain${called}Delete`, (_call, domain, moment, flags) =>
      kind.of(domain).delete(moment, flags)
    )
  }
}
