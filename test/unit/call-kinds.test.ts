import { expect } from 'chai'
import { KIND, KIND_REFUSED, KIND_WORK, kindOf, kindWithArguments, mostArgumentBytes, PLAIN_KINDS } from '#protocol/call-kinds.js'
import { PROGRAM } from '#protocol/header.js'
import { proceduresOf, QEMU, REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { workOut } from '#workers/policy/verdicts.js'

const plain = (proc: number, prog: number = PROGRAM.remote): number | undefined => kindOf(PLAIN_KINDS, prog, proc)

describe('the kinds of calls', () => {
  it('are no bits at all for nearly every call', () => {
    expect(plain(REMOTE.domainGetInfo)).to.equal(0)
    const calls = [PROGRAM.remote, PROGRAM.qemu, PROGRAM.lxc].flatMap(prog =>
      proceduresOf(prog).filter(({ kind }) => kind === 'call').map(({ number }) => plain(number, prog)!)
    )
    expect(calls.filter(kind => (kind & KIND_WORK) === 0).length).to.be.above(0.9 * calls.length)
  })

  it('say who answers', () => {
    expect(plain(REMOTE.connectOpen)).to.equal(KIND.local)
    expect(plain(4000)).to.equal(KIND.unknown)
    expect(plain(REMOTE.domainEventLifecycle), 'an event is nothing to call').to.equal(KIND.unknown)
    expect(plain(1, PROGRAM.keepalive)).to.equal(undefined)
  })

  it('say what the reply changes', () => {
    expect(plain(REMOTE.storageVolUpload)).to.equal(KIND.stream)
    expect(plain(REMOTE.connectUnregisterCloseCallback)).to.equal(KIND.closeCallback | KIND.brief)
    expect(plain(QEMU.connectDomainMonitorEventRegister, PROGRAM.qemu)).to.equal(KIND.registration | KIND.brief)
  })

  it('have a bit for each of these, and nothing in common with those that refuse', () => {
    const bits: number[] = Object.values(KIND)
    expect(bits.reduce((all, bit) => all + bit)).to.equal(bits.reduce((all, bit) => all | bit))
    expect(KIND_REFUSED & (KIND.local | KIND.unknown | KIND.stream | KIND.inspected)).to.equal(0)
  })

  it('tell of a stream whether its arguments allow holes', () => {
    const args = (flags: number): Buffer => new XdrWriter().u32(1).u32(flags).finish()
    const sparse = KIND.stream | KIND.sparse
    expect(kindWithArguments(KIND.stream, PROGRAM.remote, REMOTE.storageVolDownload, args(1))).to.equal(sparse)
    expect(kindWithArguments(KIND.stream, PROGRAM.remote, REMOTE.storageVolDownload, args(2))).to.equal(KIND.stream)
    expect(kindWithArguments(KIND.stream, PROGRAM.remote, REMOTE.domainOpenConsole, args(1))).to.equal(KIND.stream)
    expect(kindWithArguments(KIND.stream, PROGRAM.remote, REMOTE.storageVolUpload, Buffer.alloc(3))).to.equal(KIND.stream)
  })

  it('tell of a stream call that its permission depends on its flags', () => {
    const refused = KIND.forbidden
    const verdicts = workOut([
      { of: ({ name }) => (name === 'DOMAIN_OPEN_CONSOLE' ? () => refused : undefined), inspected: KIND.inspected }
    ])
    expect(kindOf(verdicts.kinds, PROGRAM.remote, REMOTE.domainOpenConsole)).to.equal(KIND.stream | KIND.inspected)
    expect(verdicts.inspect(PROGRAM.remote, REMOTE.domainOpenConsole, Buffer.alloc(0))).to.equal(refused)
  })

  it('bound what is kept of a call', () => {
    const most = [KIND.local, KIND.brief | KIND.registration, KIND.brief | KIND.inspected, KIND.stream].map(mostArgumentBytes)
    expect(most).to.deep.equal([512 * 1024, 64 * 1024, 64 * 1024, 4 * 1024 * 1024])
  })
})
