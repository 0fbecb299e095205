import { expect } from 'chai'
import type { ClientSide } from '#workers/session/client-side.js'
import { UploadPassage } from '#workers/session/upload-passage.js'

/** A client whose connection to the driver daemon is in this state. */
const clientOf = (transport: { closed: boolean; pending: number } | undefined): ClientSide =>
  ({ session: { driver: transport && { transport } } }) as unknown as ClientSide

describe('the passage of an upload', () => {
  it('leads to the driver daemon', () => {
    const transport = { closed: false, pending: 0 }
    expect(new UploadPassage(clientOf(transport)).to).to.equal(transport)
  })

  it('leads nowhere when something is queued for the daemon, which must go first', () => {
    expect(new UploadPassage(clientOf({ closed: false, pending: 1 })).to).to.equal(undefined)
  })

  it('leads nowhere without a daemon', () => {
    expect(new UploadPassage(clientOf({ closed: true, pending: 0 })).to).to.equal(undefined)
    expect(new UploadPassage(clientOf(undefined)).to).to.equal(undefined)
  })
})
