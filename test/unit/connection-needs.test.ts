import { expect } from 'chai'
import { NEED, needOf, needOfWhole } from '#protocol/connection-needs.js'
import { MESSAGE, PROGRAM } from '#protocol/header.js'
import { REGISTRATIONS } from '#protocol/messages/events.js'
import { proceduresOf, REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { frame } from '../support/frame-socket.js'

const PROGRAMS = [PROGRAM.remote, PROGRAM.qemu, PROGRAM.lxc]
const calls = PROGRAMS.flatMap(program => proceduresOf(program).filter(({ kind }) => kind === 'call'))
const need = (proc: number, payload?: Buffer, prog: number = PROGRAM.remote, type: number = MESSAGE.call): number =>
  needOfWhole(frame({ prog, proc, type }, payload), 0)

describe('the connection that a call needs', () => {
  it('is known of each call of the three programs, and of nothing else', () => {
    for (const { name, binds } of calls) expect(binds, name).not.to.equal('')
    const others = [...PROGRAMS, PROGRAM.admin, PROGRAM.keepalive].flatMap(proceduresOf).filter(one => !calls.includes(one))
    for (const { name, binds } of others) expect(binds, name).to.equal('')
  })

  it('is one for all who share what is registered for events', () => {
    const events = REGISTRATIONS.filter(({ register }) => register !== REMOTE.connectRegisterCloseCallback)
    const registering = new Set(events.flatMap(({ prog, register, deregister }) => [`${prog}:${register}`, `${prog}:${deregister}`]))
    for (const { program, number, name } of calls) {
      expect(need(number, undefined, program) === NEED.events, name).to.equal(registering.has(`${program}:${number}`))
    }
  })

  it('is one of its own for all that opens a stream, carries descriptors or migrates', () => {
    for (const { program, number, name, stream, descriptors } of calls) {
      const bound =
        stream !== 'none' || descriptors !== 'none' ||
        /^DOMAIN_MIGRATE_(BEGIN|PREPARE|PERFORM|FINISH|CONFIRM)/.test(name)
      if (bound) expect(need(number, undefined, program), name).to.be.at.least(NEED.own)
    }
  })

  it('is any for nearly all', () => {
    const free = calls.filter(({ program, number }) => need(number, undefined, program) === NEED.any)
    expect([free.length, calls.length]).to.deep.equal([350, 408])
  })

  it('is not kept beyond a stream or a descriptor, but after what nobody tells the end of', () => {
    const { domainOpenConsole, storageVolUpload, domainOpenGraphicsFd } = REMOTE
    for (const proc of [domainOpenConsole, storageVolUpload, domainOpenGraphicsFd]) {
      expect(need(proc)).to.equal(NEED.own)
    }
    for (const proc of [REMOTE.domainMigratePrepareTunnel3, REMOTE.domainMigrateBegin3Params, REMOTE.domainFdAssociate]) {
      expect(need(proc)).to.equal(NEED.ownForGood)
    }
  })

  it('depends on the flags where a guest may be started that dies with the connection', () => {
    const xml = (length: number): XdrWriter => new XdrWriter().string('x'.repeat(length))
    const domain = (length: number): XdrWriter => xml(length).fixed(Buffer.alloc(16)).i32(-1)
    for (const [proc, guest] of [[REMOTE.domainCreateXml, xml], [REMOTE.domainCreateWithFlags, domain]] as const) {
      const start = (flags: number, length = 5): Buffer => guest(length).u32(flags).finish()
      expect(needOf(frame({ proc }), 0)).to.equal(NEED.arguments)
      expect([0, 1, 2, 3, 4].map(flags => need(proc, start(flags)))).to.deep.equal([
        NEED.any, NEED.any, NEED.ownForGood, NEED.ownForGood, NEED.any
      ])
      expect([0, 1, 3, 4, 300].map(length => need(proc, start(2, length)))).to.deep.equal(Array(5).fill(NEED.ownForGood))
      for (let cut = 0; cut < start(2).length; cut++) {
        expect(need(proc, start(2).subarray(0, cut)), 'refused by the daemon').to.equal(NEED.any)
      }
      expect(need(proc, Buffer.from('ffffffff00000002', 'hex')), 'refused by the daemon').to.equal(NEED.any)
    }
  })

  it('does not depend on bytes behind the arguments, which daemons ignore', () => {
    const [none, autodestroy] = [0, 2].map(flags => new XdrWriter().string('<domain/>').u32(flags).finish())
    expect(need(REMOTE.domainCreateXml, Buffer.concat([autodestroy!, Buffer.alloc(4)]))).to.equal(NEED.ownForGood)
    expect(need(REMOTE.domainCreateXml, Buffer.concat([none!, Buffer.from([0, 0, 0, 2])]))).to.equal(NEED.any)
  })

  it('is its own, whatever the procedure, with descriptors', () => {
    const needs = (proc: number): number => need(proc, Buffer.alloc(4), PROGRAM.remote, MESSAGE.callWithFds)
    for (const proc of [REMOTE.domainGetInfo, REMOTE.domainOpenGraphics, REMOTE.domainOpenConsole]) expect(needs(proc)).to.equal(NEED.own)
    const { domainCreateXml, domainCreateXmlWithFiles, domainFdAssociate, connectDomainEventRegisterAny } = REMOTE
    for (const proc of [domainCreateXml, domainCreateXmlWithFiles, domainFdAssociate, connectDomainEventRegisterAny]) {
      expect(needs(proc), 'what it may bind stays').to.equal(NEED.ownForGood)
    }
  })

  it('is its own for good where the procedure, or the program, is not known', () => {
    for (const [prog, proc] of [[PROGRAM.remote, 9999], [PROGRAM.remote, 0], [PROGRAM.remote, -1], [PROGRAM.admin, 1]] as const) {
      expect(need(proc, undefined, prog)).to.equal(NEED.ownForGood)
    }
  })

  it('is the broker itself for what tells of the daemon\'s death', () => {
    expect([REMOTE.connectRegisterCloseCallback, REMOTE.connectUnregisterCloseCallback].map(proc => need(proc))).to.deep.equal([
      NEED.none, NEED.none
    ])
  })
})
