import { CODE, DOMAIN, RemoteError } from '../../../protocol/errors.js'
import { REMOTE } from '../../../protocol/procedures.js'
import type { Call, HandlerTable } from '../call.js'
import { checkFlags, internal, invalid, xmlFailure } from '../failures.js'
import { type DomainRef, readDomain, writeDomain } from '../wire.js'
import { textAt } from '../xml/xml.js'
import { parseDomain } from './domain-xml.js'
import type { Domain } from './domain.js'
import { enter, perform } from './life.js'
import { domainOf } from './on-domain.js'
import { DEFINED, EVENT, type Operation, STATE, UNDEFINED } from './states.js'

const VALIDATE = { define: 1, start: 16 } as const
const UNDEFINE = { managedSave: 1, snapshots: 2 } as const
/** The five ways to ask a guest to reboot. */
const REBOOT_WAYS = 0x1f
const GRACEFUL = 1

function define(call: Call, xml: string, flags: number): void {
  checkFlags(flags, VALIDATE.define, 'testDomainDefineXMLFlags')
  const tree = parseDomain(xml)
  if (textAt(tree, 'name')!.includes('\n'))
    throw new RemoteError(CODE.xmlError, DOMAIN.none, 'invalid char in name: \n', { str1: '%s' })
  const { domain, added } = enter(call.hypervisor, tree, false)
  domain.announce(call.hypervisor.events, EVENT.defined, added ? DEFINED.added : DEFINED.updated)
  writeDomain(call.reply, domain.ref())
}

function createXml(call: Call): void {
  const xml = call.args.string()
  checkFlags(call.args.u32(), VALIDATE.start, 'testDomainCreateXML')
  const { domain } = enter(call.hypervisor, parseDomain(xml), true)
  perform(call.hypervisor, domain, 'start')
  writeDomain(call.reply, domain.ref())
}

/** What the test driver makes of `<on_poweroff>` and `<on_reboot>` when the guest goes down. */
function endOf(action: string): Operation {
  return action === 'restart' || action === 'rename-restart' ? 'restart' : 'poweroff'
}

function shutdown({ hypervisor }: Call, ref: DomainRef): void {
  const domain = hypervisor.domain(ref)
  if (!domain.active) throw internal(`domain '${ref.name}' not running`)
  perform(hypervisor, domain, endOf(domain.definition.action('on_poweroff')))
}

/** A call whose arguments are the domain and flags. */
const withFlags =
  (allowed: number, cFunction: string, act: (call: Call, ref: DomainRef, flags: number) => void) =>
    (call: Call): void => {
      const ref = readDomain(call.args)
      const flags = call.args.u32()
      checkFlags(flags, allowed, cFunction)
      act(call, ref, flags)
    }

function undefine({ hypervisor }: Call, ref: DomainRef, flags: number): void {
  const domain = hypervisor.domain(ref)
  if (domain.managedSave && !(flags & UNDEFINE.managedSave))
    throw invalid('Refusing to undefine while domain managed save image exists')
  if (!domain.active && domain.snapshots.size > 0 && !(flags & UNDEFINE.snapshots))
    throw invalid(`cannot delete inactive domain with ${domain.snapshots.size} snapshots`)
  domain.announce(hypervisor.events, EVENT.undefined, UNDEFINED.removed)
  domain.managedSave = false
  domain.persistent = false
  hypervisor.dropIfGone(domain)
}

function rename(call: Call): void {
  const { hypervisor, args, reply } = call
  const ref = readDomain(args)
  const name = args.optional(xdr => xdr.string()) ?? ''
  checkFlags(args.u32(), 0, 'testDomainRename')
  const domain = hypervisor.domain(ref)
  if (domain.active) throw invalid('cannot rename active domain')
  if (!domain.persistent) throw invalid('cannot rename a transient domain')
  if (domain.state !== STATE.shutoff) throw invalid('domain has to be shutoff before renaming')
  if (name === '') throw invalid('cannot rename domain to an empty name', DOMAIN.domain)
  if (domain.name === name) throw invalid("Can't rename domain to itself", DOMAIN.domain)
  for (const other of hypervisor.domains.values())
    if (other.name === name) throw invalid(`domain with name '${name}' already exists`, DOMAIN.domain)
  if (name.includes('/')) throw xmlFailure(`name ${name} cannot contain '/'`)
  domain.announce(hypervisor.events, EVENT.undefined, UNDEFINED.renamed)
  domain.definition.name = name
  domain.announce(hypervisor.events, EVENT.defined, DEFINED.renamed)
  reply.i32(0)
}

const start = (call: Call, ref: DomainRef): Domain => {
  const domain = call.hypervisor.domain(ref)
  perform(call.hypervisor, domain, 'start', ref.name)
  return domain
}

export const domainLifeHandlers: HandlerTable = {
  [REMOTE.domainDefineXml]: call => define(call, call.args.string(), 0),
  [REMOTE.domainDefineXmlFlags]: call => define(call, call.args.string(), call.args.u32()),
  [REMOTE.domainCreateXml]: createXml,
  // As in libvirt's test driver, nobody looks into the files.
  [REMOTE.domainCreateXmlWithFiles]: createXml,
  [REMOTE.domainCreateWithFiles]: withFlags(0, 'testDomainCreateWithFlags', (call, ref) =>
    writeDomain(call.reply, start(call, ref).ref())
  ),
  [REMOTE.domainCreate]: call => void start(call, readDomain(call.args)),
  [REMOTE.domainCreateWithFlags]: withFlags(0, 'testDomainCreateWithFlags', (call, ref) =>
    writeDomain(call.reply, start(call, ref).ref())
  ),
  [REMOTE.domainDestroy]: call => perform(call.hypervisor, domainOf(call), 'destroy'),
  [REMOTE.domainDestroyFlags]: withFlags(GRACEFUL, 'testDomainDestroyFlags', (call, ref) =>
    perform(call.hypervisor, call.hypervisor.domain(ref), 'destroy')
  ),
  [REMOTE.domainShutdown]: call => shutdown(call, readDomain(call.args)),
  [REMOTE.domainShutdownFlags]: withFlags(0, 'testDomainShutdownFlags', shutdown),
  [REMOTE.domainReboot]: withFlags(REBOOT_WAYS, 'testDomainReboot', ({ hypervisor }, ref) => {
    const domain = hypervisor.domain(ref)
    domain.requireActive()
    perform(hypervisor, domain, endOf(domain.definition.action('on_reboot')))
  }),
  [REMOTE.domainReset]: withFlags(0, 'testDomainReset', ({ hypervisor }, ref) =>
    hypervisor.domain(ref).requireActive()
  ),
  [REMOTE.domainSuspend]: call => {
    const ref = readDomain(call.args)
    perform(call.hypervisor, call.hypervisor.domain(ref), 'suspend', ref.name)
  },
  [REMOTE.domainResume]: call => {
    const ref = readDomain(call.args)
    perform(call.hypervisor, call.hypervisor.domain(ref), 'resume', ref.name)
  },
  [REMOTE.domainUndefine]: call => undefine(call, readDomain(call.args), 0),
  [REMOTE.domainUndefineFlags]: withFlags(
    UNDEFINE.managedSave | UNDEFINE.snapshots,
    'testDomainUndefineFlags',
    undefine
  ),
  [REMOTE.domainGetAutostart]: call => void call.reply.bool(domainOf(call).autostart),
  [REMOTE.domainSetAutostart]: ({ hypervisor, args }) => {
    const ref = readDomain(args)
    const autostart = args.i32() !== 0
    hypervisor.domain(ref).autostart = autostart
  },
  [REMOTE.domainRename]: rename
}
