import { expect } from 'chai'
import { ACTIVITY, auditClassOf, classify, type AuditClass } from '#protocol/audited-calls.js'
import { PROGRAM } from '#protocol/header.js'
import { proceduresOf, QEMU, REMOTE, type Procedure } from '#protocol/procedures.js'
import { changing } from '#workers/policy/read-only.js'

const calls = [PROGRAM.remote, PROGRAM.qemu, PROGRAM.lxc].flatMap(program =>
  proceduresOf(program).filter(({ kind }) => kind === 'call').map(procedure => ({ procedure, found: classify(procedure) }))
)
const names = (fits: (found: AuditClass, procedure: Procedure) => boolean): string[] =>
  calls.filter(({ found, procedure }) => fits(found, procedure)).map(({ procedure }) => procedure.name)

describe('what the audit makes of calls', () => {
  it('is told for every procedure', () => {
    for (const { procedure: { program, number, name }, found } of calls) {
      expect(auditClassOf(program, number), name).to.deep.equal(found)
      expect(Object.values(ACTIVITY), name).to.include(found.activity)
    }
  })

  it('is a record, whatever else is recorded, of all that needs a permission to change something, but for these getters', () => {
    const silent = names(({ recorded }, procedure) => recorded === 'reads' && changing(procedure).length > 0)
    expect(silent.sort()).to.deep.equal([
      'CONNECT_BASELINE_HYPERVISOR_CPU', 'CONNECT_COMPARE_HYPERVISOR_CPU', 'CONNECT_DOMAIN_XML_FROM_NATIVE',
      'CONNECT_DOMAIN_XML_TO_NATIVE', 'CONNECT_FIND_STORAGE_POOL_SOURCES', 'CONNECT_GET_DOMAIN_CAPABILITIES', 'DOMAIN_GET_FSINFO',
      'DOMAIN_GET_GUEST_INFO', 'DOMAIN_GET_GUEST_VCPUS', 'DOMAIN_GET_HOSTNAME', 'DOMAIN_GET_TIME', 'DOMAIN_GET_VCPUS_FLAGS',
      'DOMAIN_INTERFACE_ADDRESSES', 'DOMAIN_MIGRATE_GET_MAX_SPEED'
    ])
  })

  it('is a record of what libvirt keeps from read-only connections, but for what only tells figures', () => {
    const silent = names(({ recorded }, { readonly }) => recorded === 'reads' && readonly === 'deny')
    expect(silent.filter(name => !/_GET_|_NATIVE$|^CONNECT_(BASELINE|COMPARE|FIND)_/.test(name))).to.deep.equal([])
  })

  it('is a record of what only reads and yet tells what is nobody\'s business', () => {
    expect(names(({ activity, recorded }) => activity === ACTIVITY.read && recorded === 'always').sort()).to.deep.equal([
      'DOMAIN_AUTHORIZED_SSH_KEYS_GET', 'DOMAIN_BLOCK_PEEK', 'DOMAIN_MEMORY_PEEK', 'DOMAIN_SAVE_IMAGE_GET_XML_DESC',
      'DOMAIN_SCREENSHOT', 'SECRET_GET_VALUE', 'STORAGE_VOL_DOWNLOAD'
    ])
    expect(names(({ recorded }) => recorded === 'secure').sort()).to.deep.equal([
      'DOMAIN_CHECKPOINT_GET_XML_DESC', 'DOMAIN_GET_XML_DESC', 'DOMAIN_MANAGED_SAVE_GET_XML_DESC', 'DOMAIN_SNAPSHOT_GET_XML_DESC'
    ])
  })

  it('is a record of consoles, channels, screens, keys, file systems, and of commands for QEMU and the guest\'s agent', () => {
    const { domainOpenConsole, domainOpenChannel, domainOpenGraphics, domainOpenGraphicsFd, domainSendKey, domainFsfreeze } = REMOTE
    for (const proc of [domainOpenConsole, domainOpenChannel, domainOpenGraphics, domainOpenGraphicsFd, domainSendKey, domainFsfreeze]) {
      expect(auditClassOf(PROGRAM.remote, proc)).to.include({ recorded: 'always', changes: true, asked: 'domain' })
    }
    for (const proc of [QEMU.domainMonitorCommand, QEMU.domainAgentCommand, QEMU.domainMonitorCommandWithFiles]) {
      expect(auditClassOf(PROGRAM.qemu, proc)).to.include({ recorded: 'always', changes: true, asked: 'domain' })
    }
  })

  it('tells what is created, and what is deleted', () => {
    const at = (proc: number): number => auditClassOf(PROGRAM.remote, proc).activity
    const { domainDefineXml, storageVolCreateXmlFrom, networkCreateXmlFlags, domainSnapshotCreateXml } = REMOTE
    for (const proc of [domainDefineXml, storageVolCreateXmlFrom, networkCreateXmlFlags, domainSnapshotCreateXml]) {
      expect(at(proc)).to.equal(ACTIVITY.create)
    }
    const { domainUndefineFlags, storagePoolDelete, domainSnapshotDelete, domainManagedSaveRemove } = REMOTE
    for (const proc of [domainUndefineFlags, storagePoolDelete, domainSnapshotDelete, domainManagedSaveRemove]) {
      expect(at(proc)).to.equal(ACTIVITY.delete)
    }
    for (const proc of [REMOTE.domainCreate, REMOTE.domainDestroy, REMOTE.domainSaveImageDefineXml, REMOTE.domainSetSchedulerParameters]) {
      expect(at(proc)).to.equal(ACTIVITY.update)
    }
  })

  it('is the worst of what nobody knows', () => {
    expect(auditClassOf(PROGRAM.remote, 4000)).to.include({ activity: ACTIVITY.other, recorded: 'always', changes: true })
  })

  it('knows the object of each call that changes one, but for these', () => {
    const without = names(({ changes, asked, answered }) => changes && asked === undefined && answered === undefined)
    expect(without.sort()).to.deep.equal([
      'CONNECT_DOMAIN_MONITOR_EVENT_DEREGISTER', 'CONNECT_DOMAIN_MONITOR_EVENT_REGISTER', 'DOMAIN_MIGRATE_PREPARE',
      'DOMAIN_MIGRATE_PREPARE2', 'DOMAIN_MIGRATE_PREPARE3', 'DOMAIN_MIGRATE_PREPARE3_PARAMS', 'DOMAIN_MIGRATE_PREPARE_TUNNEL',
      'DOMAIN_MIGRATE_PREPARE_TUNNEL3', 'DOMAIN_MIGRATE_PREPARE_TUNNEL3_PARAMS', 'DOMAIN_RESTORE_PARAMS', 'INTERFACE_CHANGE_BEGIN',
      'INTERFACE_CHANGE_COMMIT', 'INTERFACE_CHANGE_ROLLBACK', 'NODE_ALLOC_PAGES', 'NODE_SET_MEMORY_PARAMETERS',
      'NODE_SUSPEND_FOR_DURATION'
    ])
  })
})
