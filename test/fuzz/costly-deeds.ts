import { MESSAGE, PROGRAM } from '#protocol/header.js'
import { encodeFeature, encodeOpen } from '#protocol/messages/connect.js'
import { encodeSaslStart } from '#protocol/messages/auth.js'
import { REGISTRATIONS } from '#protocol/messages/events.js'
import { encodeSetIdentity } from '#protocol/identity.js'
import { REMOTE } from '#protocol/procedures.js'
import { frame, ping } from '../support/frame-socket.js'

/** Who attacks: `stranger` cannot log in, `member` has opened a connection, `newcomer` might. */
export type Attacker = 'stranger' | 'member' | 'newcomer' | 'tls'

/** What a peer sends again and again, as fast as it is taken, to cost a thread of the broker as much as can be. */
export interface Deed {
  readonly name: string
  readonly who: Attacker
  readonly bytes: Buffer
  /** Closes after each time, and comes again. */
  readonly once?: boolean
}

const MIB = 1024 * 1024

const many = (count: number, make: (serial: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, serial) => make(serial)))

/** As many as fit into one read of the broker's. */
const READ = 9362

const registration = REGISTRATIONS[0]!

export const DEEDS: readonly Deed[] = [
  { who: 'stranger', name: 'calls that are refused', bytes: many(READ, serial => frame({ proc: REMOTE.domainGetInfo, serial })) },
  { who: 'stranger', name: 'unknown procedures', bytes: many(READ, serial => frame({ proc: 5000 + serial, serial })) },
  { who: 'stranger', name: 'unknown programs', bytes: many(READ, serial => frame({ prog: serial, proc: 1, serial })) },
  { who: 'stranger', name: 'AUTH_LIST', bytes: many(READ, serial => frame({ proc: REMOTE.authList, serial })) },
  { who: 'stranger', name: 'pings', bytes: many(READ, () => ping()) },
  { who: 'stranger', name: 'replies to nothing', bytes: many(READ, serial => frame({ proc: 1, type: MESSAGE.reply, serial })) },
  { who: 'stranger', name: 'long calls with descriptors', bytes: frame({ proc: 1, type: MESSAGE.callWithFds }, Buffer.alloc(4 * MIB)) },
  {
    who: 'stranger', name: 'long SASL data',
    bytes: frame({ proc: REMOTE.authSaslStart }, encodeSaslStart({ mechanism: 'x'.repeat(200_000), data: Buffer.alloc(60_000) }))
  },
  { who: 'stranger', name: 'garbage', bytes: Buffer.alloc(READ * 28, 0xff), once: true },
  { who: 'stranger', name: 'nothing but coming and going', bytes: Buffer.alloc(1), once: true },
  { who: 'newcomer', name: 'calls before CONNECT_OPEN', bytes: many(READ, serial => frame({ proc: REMOTE.domainGetInfo, serial })) },
  {
    who: 'newcomer', name: 'CONNECT_OPEN of what cannot be',
    bytes: many(500, serial => frame({ proc: REMOTE.connectOpen, serial }, encodeOpen({ name: `qemu://host${serial}/system`, flags: 0 })))
  },
  {
    who: 'newcomer', name: 'long names',
    bytes: frame({ proc: REMOTE.connectOpen }, encodeOpen({ name: '%'.repeat(4 * MIB - 64), flags: 0 }))
  },
  { who: 'member', name: 'calls that the broker answers', bytes: many(READ, serial => frame({ proc: REMOTE.connectGetUri, serial })) },
  {
    who: 'member', name: 'features',
    bytes: many(READ / 2, serial => frame({ proc: REMOTE.connectSupportsFeature, serial }, encodeFeature(10)))
  },
  {
    who: 'member', name: 'identities',
    bytes: many(1000, serial =>
      frame({ proc: REMOTE.connectSetIdentity, serial }, encodeSetIdentity({ userName: 'x'.repeat(200), userId: 1 })))
  },
  { who: 'member', name: 'pings', bytes: many(READ, () => ping()) },
  { who: 'member', name: 'events', bytes: many(READ, serial => frame({ proc: 1, type: MESSAGE.event, serial })) },
  { who: 'member', name: 'relayed calls', bytes: many(READ, serial => frame({ proc: REMOTE.domainGetInfo, serial })) },
  {
    who: 'member', name: 'registrations',
    bytes: many(READ / 2, serial => frame({ prog: registration.prog, proc: registration.register, serial }))
  },
  {
    who: 'member', name: 'wrong status', bytes: many(READ, serial => frame({ prog: PROGRAM.qemu, proc: 1, serial, status: 1 }))
  },
  { who: 'member', name: 'stream packets for nobody', bytes: many(READ, serial => frame({ proc: 1, type: MESSAGE.stream, serial })) },
  {
    who: 'member', name: 'calls with descriptors that come without',
    bytes: frame({ proc: REMOTE.domainGetInfo, type: MESSAGE.callWithFds }, Buffer.alloc(2 * MIB))
  }
]
