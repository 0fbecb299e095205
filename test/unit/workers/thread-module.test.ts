import { expect } from 'chai'
import { isOurs } from '#workers/actor/thread-module.js'
import { XdrReader } from '#protocol/xdr.js'

describe('an exception in a thread with a module of the administrator\'s', () => {
  const thrownBy = (deed: () => unknown): unknown => {
    try {
      return deed()
    } catch (error) {
      return error
    }
  }

  it('is our own by where it was made, whoever called', () => {
    expect(isOurs(thrownBy(() => new XdrReader(Buffer.alloc(0)).u32()))).to.equal(true)
  })

  it('is the module\'s in all other cases', () => {
    const made = (stack: string): Error => Object.assign(new Error('x'), { stack })
    const theirs = 'Error: x\n    at told (file:///etc/libvirt/telemetry.mjs:3:9)\n    at Channel.publish (node:diagnostics_channel:1:9)'
    expect(isOurs(made(`${theirs}\n    at Diagnostics.answered (${import.meta.url}:1:1)`))).to.equal(false)
    for (const error of [made(''), made('Error: x'), undefined, 'x', { stack: 7 }]) expect(isOurs(error)).to.equal(false)
  })
})
