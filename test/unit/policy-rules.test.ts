import { expect } from 'chai'
import { KIND, kindOf } from '#protocol/call-kinds.js'
import { PROGRAM } from '#protocol/header.js'
import { lookup, proceduresOf, REMOTE } from '#protocol/procedures.js'
import { FLAG } from '#workers/policy/call-flags.js'
import { Policy } from '#workers/policy/policy.js'
import { parseRule, RuleError, type Subject } from '#workers/policy/rules.js'
import { describeIdentity, subjectOf } from '#workers/policy/subject.js'
import type { Identity } from '#protocol/identity.js'
import type { TransportKind } from '#workers/os/listener-kind.js'
import type { ClientRecord } from '#workers/thread/client-record.js'

const nobody: Subject = {
  listener: 'tcp', address: undefined, saslUser: undefined, name: undefined, uid: undefined
}

describe('a rule of the procedure policy', () => {
  const fits: [string, Partial<Subject>, boolean][] = [
    ['*', {}, true],
    ['listener=tcp', {}, true],
    ['listener=unix', {}, false],
    ['uid=0', { uid: 0 }, true],
    ['uid=0', {}, false],
    ['sasl=fr*', { saslUser: 'fred' }, true],
    ['sasl=*', {}, false],
    ['dn=C=GB,O=A ? B,CN=*', { name: 'C=GB,O=A & B,CN=x' }, true],
    ['address=10.0.0.0/8', { address: '10.255.0.1' }, true],
    ['address=10.0.0.0/8', { address: '11.0.0.1' }, false],
    ['address=10.0.0.0/8', { address: '2001:db8::1' }, false],
    ['address=10.0.0.5-10.0.0.7', { address: '10.0.0.6' }, true],
    ['address=2001:db8::/32', { address: '2001:db8:1::1' }, true],
    ['address=::1', { address: '::1' }, true],
    ['listener=tcp & uid=1', { uid: 1 }, true],
    ['listener=tcp & uid=1', { uid: 2 }, false],
    ['sasl=eve&listener=tcp', { saslUser: 'eve' }, true],
    ['sasl=eve&listener=tcp', { saslUser: 'eve&listener=tcp' }, false],
    ['sasl=eve&listener=tcp', { saslUser: 'bob' }, false],
    ['sasl=eve &listener=unix', { saslUser: 'eve' }, false],
    ['sasl=a\\&b', { saslUser: 'a&b' }, true],
    ['sasl=a\\&b & listener=tcp', { saslUser: 'a&b' }, true],
    ['dn=O=A\\, B \\& C,CN=*', { name: 'O=A\\, B & C,CN=x' }, true],
    ['sasl=DOM\\eve', { saslUser: 'DOM\\eve' }, true],
    ['sasl=a\\\\&listener=tcp', { saslUser: 'a\\\\' }, true],
    ['sasl=a\\', { saslUser: 'a\\' }, true],
    ['dn=*', { name: 'CN=x' }, true],
    ['dn=*', { name: '' }, false],
    ['dn=*', {}, false],
    ['sasl=*', { saslUser: '' }, false]
  ]
  for (const [conditions, subject, applies] of fits) {
    it(`with ${conditions} ${applies ? 'fits' : 'does not fit'} ${JSON.stringify(subject)}`, () => {
      const rule = parseRule(`${conditions} => deny domain:read`)
      expect(rule.applies({ ...nobody, ...subject })).to.equal(applies)
    })
  }

  const slips = [
    'listener=tcp', '* => permit domain:read', '* => deny', '* => deny domain:raed', '* => deny DOMAIN_DESTORY',
    'listener=telnet => deny *:*', 'uid=root => deny *:*', 'address=10.0.0 => deny *:*', 'address=10.0.0.0/33 => deny *:*',
    'address=10.0.0.9-10.0.0.1 => deny *:*', 'group=1 => deny *:*', 'dn=O=A & B => deny *:*',
    'dn=O=A&B => deny *:*', 'sasl=eve & => deny *:*', '& sasl=eve => deny *:*', ' => deny *:*', 'sasl=eve&&uid=1 => deny *:*',
    'sasl= => deny *:*', 'dn= => deny *:*', 'sasl=eve listener=tcp => deny *:*', 'sasl=eve, listener=tcp => deny *:*',
    'sasl=eve;uid=1 => deny *:*', 'dn=CN=x address=10.0.0.1 => deny *:*', 'sasl=eve and listener=tcp => deny *:*'
  ]
  for (const slip of slips) {
    it(`'${slip}' is refused`, () => expect(() => parseRule(slip)).to.throw(RuleError))
  }
})

describe('the procedure policy', () => {
  const kindFor = (rules: string[], proc: number, subject: Partial<Subject> = {}): number | undefined => {
    return kindOf(new Policy(rules, false).verdictsFor({ ...nobody, ...subject }, false).kinds, PROGRAM.remote, proc)
  }

  it('has nothing to say where no rule fits', () => {
    expect(kindFor(['listener=unix => deny *:*'], REMOTE.domainDestroy)).to.equal(0)
  })

  it('never refuses what the broker answers itself', () => {
    for (const proc of [REMOTE.connectOpen, REMOTE.connectClose, REMOTE.authList, REMOTE.connectSetIdentity]) {
      expect(kindFor(['* => deny *:* *'], proc), lookup(PROGRAM.remote, proc)!.name).to.equal(KIND.local)
    }
  })

  it('counts all rules that fit together, whatever their order', () => {
    const rules = ['* => allow domain:*', '* => deny domain:stop', '* => allow DOMAIN_DESTROY']
    for (const order of [rules, [...rules].reverse()]) {
      expect(kindFor(order, REMOTE.domainDestroy)).to.equal(KIND.forbidden)
      expect(kindFor(order, REMOTE.domainCreate)).to.equal(0)
      expect(kindFor(order, REMOTE.storageVolDelete)).to.equal(KIND.forbidden)
    }
  })

  it('keeps streams and registrations what they are', () => {
    expect(kindFor(['* => deny domain:write'], REMOTE.storageVolUpload)).to.equal(KIND.stream)
    expect(kindFor(['* => deny storage_vol:data_write'], REMOTE.storageVolUpload)).to.equal(KIND.stream | KIND.forbidden)
  })

  it('gives the same table to clients whom the same rules fit', () => {
    const policy = new Policy(['uid=1 => deny *:*', 'listener=tcp => deny domain:read'], false)
    const one = policy.verdictsFor({ ...nobody, uid: 1 }, false)
    expect(policy.verdictsFor({ ...nobody, uid: 1, saslUser: 'x' }, false)).to.equal(one)
    expect(policy.verdictsFor({ ...nobody, uid: 2 }, false)).not.to.equal(one)
  })

  it('knows every flag that a permission depends on', () => {
    const names = [PROGRAM.remote, PROGRAM.qemu, PROGRAM.lxc]
      .flatMap(program => proceduresOf(program).flatMap(({ acl }) => acl))
      .flatMap(entry => entry.split(':').slice(2).join('|').split(/[|!]/))
      .filter(name => name.startsWith('VIR_'))
    expect(names).not.to.be.empty
    for (const name of names) expect(FLAG[name], name).to.be.a('number')
  })
})

describe('what the policy knows of a client', () => {
  const client = (transport: TransportKind, readonly: boolean, peer?: string, identity: Identity = {}): ClientRecord => {
    const listener = { name: transport, transport, readonly, auth: 'none' } as const
    return { id: 1, since: 0, listener, peer, via: undefined, identity, state: 'serving', opened: undefined }
  }

  it('is its listener and its address', () => {
    const tcp = subjectOf(client('tcp', false, '10.0.0.1:5000'))
    expect(tcp).to.include({ listener: 'tcp', address: '10.0.0.1' })
    const tls = subjectOf(client('tls', false, '[2001:db8::1]:5000'))
    expect(tls).to.include({ listener: 'tls', address: '2001:db8::1' })
    const unix = subjectOf(client('unix', true, undefined, { userId: 7 }))
    expect(unix).to.deep.include({ listener: 'unix-ro', address: undefined, uid: 7 })
  })

  it('is said in the log without odd characters', () => {
    expect(describeIdentity({ saslUserName: 'a\nb', userName: 'x', userId: 1 })).to.equal("SASL user 'a?b', user 'x' (1)")
    expect(describeIdentity({})).to.equal('a client without identity')
    expect(describeIdentity({ x509DistinguishedName: '' })).to.equal('a client without identity')
  })
})
