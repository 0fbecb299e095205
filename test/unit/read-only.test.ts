import { expect } from 'chai'
import { KIND, kindOf, PLAIN_KINDS } from '#protocol/call-kinds.js'
import { PROGRAM } from '#protocol/header.js'
import { proceduresOf, REMOTE, type Procedure } from '#protocol/procedures.js'
import { publicDomain, readOnlyPrevents } from '#protocol/public-errors.js'
import { XdrWriter } from '#protocol/xdr.js'
import { Policy } from '#workers/policy/policy.js'
import { changing } from '#workers/policy/read-only.js'
import { policyName, type Subject } from '#workers/policy/rules.js'

const calls = [PROGRAM.remote, PROGRAM.qemu, PROGRAM.lxc]
  .flatMap(program => proceduresOf(program))
  .filter(({ kind }) => kind === 'call')
const nobody: Subject = { listener: 'unix-ro', address: undefined, saslUser: undefined, name: undefined, uid: undefined }
const names = (procedures: readonly Procedure[]): string[] => procedures.map(policyName)

describe('a read-only connection', () => {
  const verdicts = new Policy([], false).verdictsFor(nobody, true)
  const kindFor = ({ program, number }: Procedure): number | undefined => kindOf(verdicts.kinds, program, number)

  it('is told from one that is not', () => {
    const { kinds } = new Policy([], false).verdictsFor(nobody, false)
    expect(kinds).to.deep.equal(PLAIN_KINDS)
  })

  it('is allowed by libvirt what changes something in these cases only', () => {
    const changes = calls.filter(procedure => changing(procedure).length > 0)
    expect(names(changes.filter(({ readonly }) => readonly === 'allow'))).to.have.members([
      'DOMAIN_DEL_THROTTLE_GROUP',
      // Answered here, without effect.
      'CONNECT_SET_IDENTITY'
    ])
    expect(names(changes.filter(({ readonly }) => readonly === 'flags'))).to.have.members([
      'DOMAIN_GET_VCPUS_FLAGS',
      'DOMAIN_INTERFACE_ADDRESSES'
    ])
  })

  it('may call what carries a word for changing and is only a getter in these cases only', () => {
    const getters = calls.filter(procedure =>
      changing(procedure).length === 0 && changing({ ...procedure, number: 0 }).length > 0
    )
    expect(names(getters)).to.have.members(['DOMAIN_MIGRATE_GET_COMPRESSION_CACHE', 'DOMAIN_MIGRATE_GET_MAX_DOWNTIME'])
  })

  it('is refused by libvirt what only looks in these cases only', () => {
    const refused = calls.filter(procedure => procedure.readonly === 'deny' && changing(procedure).length === 0)
    expect(names(refused)).to.have.members([
      'DOMAIN_SET_SCHEDULER_PARAMETERS',
      'SECRET_GET_VALUE',
      'NODE_GET_SEV_INFO',
      'DOMAIN_GET_LAUNCH_SECURITY_INFO'
    ])
  })

  it('is refused what changes something, and nothing else', () => {
    for (const procedure of calls) {
      const { program, number, acl } = procedure
      const plain = kindOf(PLAIN_KINDS, program, number)
      const found = kindFor(procedure)
      if (plain === KIND.local) expect(found, procedure.name).to.equal(KIND.local)
      else if (procedure.readonly === 'deny') expect(found, procedure.name).to.equal(plain! | KIND.readOnly)
      else if (number === REMOTE.domainDelThrottleGroup) expect(found, procedure.name).to.equal(plain! | KIND.readOnly)
      else if (acl.some(entry => /^domain:write:/.test(entry))) expect(found, procedure.name).to.equal(KIND.inspected)
      else expect(found, procedure.name).to.equal(plain)
    }
    expect(kindOf(verdicts.kinds, PROGRAM.remote, 4000)).to.equal(KIND.unknown)
  })

  it('is refused flags that change something', () => {
    const domain = (word: number): Buffer =>
      new XdrWriter().string('guest').fixed(Buffer.alloc(16, 7)).i32(-1).u32(word).u32(0).finish()
    const inspect = (proc: number, word: number) => verdicts.inspect(PROGRAM.remote, proc, domain(word))
    expect(inspect(REMOTE.domainGetVcpusFlags, 0)).to.equal(undefined)
    expect(inspect(REMOTE.domainGetVcpusFlags, 7)).to.equal(undefined)
    expect(inspect(REMOTE.domainGetVcpusFlags, 9)).to.equal(KIND.readOnly)
    expect(inspect(REMOTE.domainInterfaceAddresses, 0)).to.equal(undefined)
    expect(inspect(REMOTE.domainInterfaceAddresses, 1)).to.equal(KIND.readOnly)
    expect(inspect(REMOTE.domainInterfaceAddresses, 2)).to.equal(undefined)
    // Secrets in a description are the daemon's to refuse, in words of its own.
    expect(inspect(REMOTE.domainGetXmlDesc, 1)).to.equal(undefined)
  })

  it('is kept within the procedure policy as well', () => {
    const both = new Policy(['* => deny domain:read domain:stop'], false).verdictsFor(nobody, true)
    const kindIn = (proc: number): number | undefined => kindOf(both.kinds, PROGRAM.remote, proc)
    expect(kindIn(REMOTE.domainGetInfo)).to.equal(KIND.forbidden)
    expect(kindIn(REMOTE.domainDestroy)).to.equal(KIND.readOnly)
    expect(kindIn(REMOTE.domainInterfaceAddresses)).to.equal(KIND.forbidden)
    expect(kindIn(REMOTE.connectGetLibVersion)).to.equal(0)
    const allowed = new Policy(['* => allow *:*'], false).verdictsFor(nobody, true)
    expect(kindOf(allowed.kinds, PROGRAM.remote, REMOTE.domainDestroy)).to.equal(KIND.readOnly)
    expect(kindOf(allowed.kinds, PROGRAM.remote, 4000)).to.equal(KIND.unknown | KIND.forbidden)
  })

  it('is told in the words of the function, and of its part of libvirt', () => {
    const procedure = (proc: number, program: number = PROGRAM.remote): Procedure => proceduresOf(program)[proc - 1]!
    const { code, domain, message, str1, str2 } = readOnlyPrevents(procedure(REMOTE.domainDelThrottleGroup))
    expect([code, domain, message]).to.deep.equal([
      29, 20, 'operation forbidden: read only access prevents virDomainDelThrottleGroup'
    ])
    expect([str1, str2]).to.deep.equal(['operation forbidden: %1$s', 'read only access prevents virDomainDelThrottleGroup'])
    expect(publicDomain(procedure(REMOTE.domainSnapshotDelete))).to.equal(35)
    expect(publicDomain(procedure(REMOTE.nodeDeviceDettach))).to.equal(22)
    expect(publicDomain(procedure(REMOTE.connectOpen))).to.equal(0)
    expect(publicDomain(procedure(1, PROGRAM.qemu))).to.equal(0)
  })
})
