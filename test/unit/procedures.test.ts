import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { PROGRAM } from '#protocol/header.js'
import { numbersText, tableText } from '#protocol/procedure-generator.js'
import { ADMIN, KEEPALIVE, LXC, lookup, procedureName, proceduresOf, QEMU, REMOTE } from '#protocol/procedures.js'

const facts = readFileSync('docs/procedures.tsv', 'utf8')

describe('procedure table', () => {
  it('is what the generator makes of the facts', () => {
    expect(readFileSync('src/protocol/procedure-table.ts', 'utf8')).to.equal(tableText(facts))
    expect(readFileSync('src/protocol/procedure-numbers.ts', 'utf8')).to.equal(numbersText(facts))
  })

  it('holds every procedure of the five programs, numbered from 1 without a gap', () => {
    const counts = { remote: 456, qemu: 7, lxc: 1, admin: 20, keepalive: 2 }
    for (const [program, count] of Object.entries(counts)) {
      const numbers = proceduresOf(PROGRAM[program as keyof typeof PROGRAM]).map(procedure => procedure.number)
      expect(numbers, program).to.deep.equal(Array.from({ length: count }, (_, i) => i + 1))
    }
  })

  it('tells all that is known of a procedure', () => {
    expect(lookup(PROGRAM.remote, 208)).to.deep.equal({
      program: PROGRAM.remote,
      number: 208,
      name: 'STORAGE_VOL_UPLOAD',
      kind: 'call',
      priority: 'low',
      stream: 'write',
      owner: 'storage',
      local: false,
      readonly: 'deny',
      since: '0.9.0',
      hasArgs: true,
      hasReturn: false,
      descriptors: 'none',
      aclFilter: '',
      binds: 'stream',
      object: 'storage_vol',
      pure: false,
      acl: ['storage_vol:data_write']
    })
  })

  it('knows several permissions of one call, and those that depend on flags', () => {
    expect(lookup(PROGRAM.remote, REMOTE.domainSetVcpusFlags)?.acl).to.deep.equal([
      'domain:write',
      'domain:save:!VIR_DOMAIN_AFFECT_CONFIG|VIR_DOMAIN_AFFECT_LIVE',
      'domain:save:VIR_DOMAIN_AFFECT_CONFIG',
      'domain:write:VIR_DOMAIN_VCPU_GUEST'
    ])
    expect(lookup(PROGRAM.remote, REMOTE.connectClose)?.acl).to.deep.equal([])
  })

  it('knows which calls open a stream', () => {
    const opening = proceduresOf(PROGRAM.remote).filter(procedure => procedure.stream !== 'none')
    expect(opening.map(procedure => procedure.number)).to.have.members([148, 201, 208, 209, 211, 215, 296, 304])
  })

  it('knows which messages carry descriptors', () => {
    const directions = [...proceduresOf(PROGRAM.remote), ...proceduresOf(PROGRAM.qemu), ...proceduresOf(PROGRAM.lxc)]
      .filter(procedure => procedure.descriptors !== 'none')
      .map(procedure => [procedure.name, procedure.descriptors])
    expect(Object.fromEntries(directions)).to.deep.equal({
      DOMAIN_OPEN_GRAPHICS: 'call',
      DOMAIN_CREATE_XML_WITH_FILES: 'call',
      DOMAIN_CREATE_WITH_FILES: 'call',
      DOMAIN_FD_ASSOCIATE: 'call',
      DOMAIN_OPEN_GRAPHICS_FD: 'reply',
      DOMAIN_MONITOR_COMMAND_WITH_FILES: 'both',
      DOMAIN_OPEN_NAMESPACE: 'reply'
    })
  })

  it('marks as pure what only reads, by its name and by the permissions that it needs', () => {
    const calls = [PROGRAM.remote, PROGRAM.qemu, PROGRAM.lxc, PROGRAM.admin, PROGRAM.keepalive].flatMap(program => proceduresOf(program))
    const pure = calls.filter(procedure => procedure.pure)
    expect(pure).to.have.length(172)
    const reads = /_(GET|LIST|NUM|LOOKUP|IS|HAS)(_|$)|_(STATS|PEEK|CURRENT)(_FLAGS)?$/
    const looks = /^\w+:(getattr|read|block_read|read_secure|search_\w+)(:.*)?$/
    // They need more by libvirt's choice, and tell what is there.
    const guarded = [
      'DOMAIN_MIGRATE_GET_COMPRESSION_CACHE', 'DOMAIN_MIGRATE_GET_MAX_DOWNTIME', 'DOMAIN_MIGRATE_GET_MAX_SPEED',
      'DOMAIN_SAVE_IMAGE_GET_XML_DESC'
    ]
    for (const { name, kind, stream, binds, descriptors, hasReturn, local, acl } of pure) {
      expect({ kind, stream, binds, descriptors, hasReturn, local }, name).to.deep.equal({
        kind: 'call', stream: 'none', binds: 'nothing', descriptors: 'none', hasReturn: true, local: false
      })
      expect(name).to.match(reads)
      expect(name).not.to.match(/_(SET|CREATE|DEFINE|DESTROY|ATTACH|DETACH|DELETE|REFRESH)(_|$)/)
      if (!guarded.includes(name)) for (const entry of acl) expect(entry, name).to.match(looks)
    }
  })

  it('does not mark what changes something though it is called a getter, or asks the agent in a guest', () => {
    const { domainGetJobStats, domainCheckpointGetXmlDesc, domainGetFsinfo, domainGetTime, domainGetGuestInfo } = REMOTE
    for (const number of [domainGetJobStats, domainCheckpointGetXmlDesc, domainGetFsinfo, domainGetTime, domainGetGuestInfo]) {
      expect(lookup(PROGRAM.remote, number)!.pure, procedureName(PROGRAM.remote, number)).to.equal(false)
    }
  })

  it('finds nothing for numbers and programs that it does not know', () => {
    expect(lookup(PROGRAM.remote, 0)).to.equal(undefined)
    expect(lookup(PROGRAM.remote, -1)).to.equal(undefined)
    expect(lookup(PROGRAM.remote, 457)).to.equal(undefined)
    expect(lookup(1, 1)).to.equal(undefined)
    expect(proceduresOf(1)).to.deep.equal([])
  })

  it('names a procedure for the log, known or not', () => {
    expect(procedureName(PROGRAM.remote, 1)).to.equal('CONNECT_OPEN')
    expect(procedureName(PROGRAM.remote, 9999)).to.equal('9999')
  })

  it('has a constant for each procedure', () => {
    expect(REMOTE.connectOpen).to.equal(1)
    expect(REMOTE.domainGetXmlDesc).to.equal(14)
    expect(REMOTE.domainMigratePerform3Params).to.equal(305)
    expect(QEMU.domainMonitorCommand).to.equal(1)
    expect(LXC.domainOpenNamespace).to.equal(1)
    expect(ADMIN.connectOpen).to.equal(1)
    expect(KEEPALIVE).to.deep.equal({ ping: 1, pong: 2 })
    expect(Object.keys(REMOTE)).to.have.length(456)
  })
})
