import { openSync } from 'node:fs'
import type { Socket } from 'node:net'
import { MESSAGE, PROGRAM, STATUS } from '#protocol/header.js'
import { encodeFeature, encodeOpen } from '#protocol/messages/connect.js'
import { encodeCallbackId, REGISTRATIONS } from '#protocol/messages/events.js'
import { REMOTE } from '#protocol/procedures.js'
import { sendDescriptor } from '#workers/transport/descriptors.js'
import { downloadArguments } from '../support/answering-driver.js'
import { frame, ping, pong } from '../support/frame-socket.js'
import type { Random } from '../support/random.js'
import type { RawClient } from '../support/raw-client.js'

/** What a move leaves behind. `torn`: the next byte would not begin a frame, or the connection is bound to end. */
type After = 'framed' | 'torn'

type Move = (client: RawClient, random: Random) => After

const { storageVolUpload: UPLOAD, storageVolDownload: DOWNLOAD } = REMOTE
const NAMES = ['qemu:///system', 'qemu:///session', '', 'test:///nowhere', 'qemu://host/system', 'x'.repeat(5000), undefined]
const PROGRAMS = [PROGRAM.remote, PROGRAM.remote, PROGRAM.remote, PROGRAM.qemu, PROGRAM.lxc, PROGRAM.keepalive, 0, 7]
const ILLEGAL_LENGTHS = [0, 1, 4, 27, 33_554_437, 0x7fffffff, 0x80000000, 0xffffffff]
const OWN_PROCEDURES = [
  REMOTE.authList, REMOTE.authPolkit, REMOTE.authSaslInit, REMOTE.authSaslStart, REMOTE.authSaslStep,
  REMOTE.connectSupportsFeature, REMOTE.connectGetUri, REMOTE.connectSetIdentity
]
const nothing = openSync('/dev/null', 'r')

/** Few serials, so that they meet; also those where counting wraps around. */
const serial = (random: Random): number =>
  random.chance(0.1) ? (0xfffffffa + random.integer(0, 11)) >>> 0 : random.integer(0, 40)

const repeat = (count: number, make: (index: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, index) => make(index)))

/** Whether it has no end, or a wrong one: whatever follows is taken for a part of it. */
function send(client: RawClient, random: Random, bytes: Buffer): 'framed' {
  if (random.chance(0.2) && bytes.length > 2) {
    const cut = random.integer(1, bytes.length - 1)
    client.write(bytes.subarray(0, cut))
    client.write(bytes.subarray(cut))
  } else client.write(bytes)
  return 'framed'
}

const moves: Record<string, Move> = {
  calls: (client, random) =>
    send(client, random, repeat(random.integer(1, 60), () =>
      frame({ proc: random.integer(1, 470), serial: serial(random) }, random.bytes(random.integer(0, 10) * 4)))),
  'calls of any program, version and status': (client, random) =>
    send(client, random, repeat(random.integer(1, 30), () => frame({
      prog: random.pick(PROGRAMS), vers: random.integer(0, 2), proc: random.integer(-2, 500), serial: serial(random),
      status: random.integer(0, 3)
    }, random.bytes(8)))),
  'frames of any type': (client, random) =>
    send(client, random, repeat(random.integer(1, 30), () =>
      frame({
        type: random.pick([MESSAGE.reply, MESSAGE.event, MESSAGE.replyWithFds, 7, 0x7fffffff]), proc: random.integer(0, 460),
        serial: serial(random)
      }, random.bytes(4)))),
  'calls that the broker answers itself, with any arguments': (client, random) =>
    send(client, random, repeat(random.integer(1, 20), () =>
      frame({ proc: random.pick(OWN_PROCEDURES), serial: serial(random) }, random.bytes(random.integer(0, 16) * 4)))),
  'a flood of CONNECT_OPEN': (client, random) =>
    send(client, random, repeat(random.integer(1, 50), () =>
      frame({ proc: REMOTE.connectOpen, serial: serial(random) }, encodeOpen({ name: random.pick(NAMES), flags: random.integer(0, 3) })))),
  'CONNECT_OPEN and CONNECT_CLOSE by turns': (client, random) => {
    send(client, random, repeat(random.integer(2, 40), index => index % 2 === 0
      ? frame({ proc: REMOTE.connectOpen, serial: index }, encodeOpen({ name: 'qemu:///system', flags: 0 }))
      : frame({ proc: REMOTE.connectClose, serial: index })))
    return 'torn'
  },
  'registrations for events': (client, random) =>
    send(client, random, repeat(random.chance(0.05) ? 10_000 : random.integer(1, 100), index => {
      const { prog, register, deregister } = random.pick(REGISTRATIONS)
      const arguments_ = random.chance(0.5) ? encodeCallbackId(random.integer(-1, 50)) : random.bytes(random.integer(0, 5) * 4)
      return frame({ prog, proc: random.chance(0.8) ? register : deregister, serial: index }, arguments_)
    })),
  'streams and their packets': (client, random) => {
    const sparse = random.chance(0.3)
    const proc = random.pick([UPLOAD, DOWNLOAD])
    const opened = serial(random)
    const flags = downloadArguments(random.integer(0, 8), random.integer(0, 30_000), sparse ? 1 : 0)
    return send(client, random, Buffer.concat([
      frame({ proc, serial: opened }, flags),
      repeat(random.integer(0, 20), () => frame({
        proc: random.chance(0.9) ? proc : random.integer(0, 400),
        type: MESSAGE.stream,
        serial: random.chance(0.8) ? opened : serial(random),
        status: random.pick([STATUS.continue, STATUS.continue, STATUS.continue, STATUS.ok, STATUS.error, 5])
      }, random.bytes(random.integer(0, 200))))
    ]))
  },
  'stream packets for nobody': (client, random) =>
    send(client, random, repeat(random.integer(1, 50), () =>
      frame({ proc: UPLOAD, type: MESSAGE.stream, serial: random.integer(1000, 2000), status: STATUS.continue }, random.bytes(50)))),
  'holes where none may be': (client, random) => {
    send(client, random, Buffer.concat([
      frame({ proc: UPLOAD, serial: 3 }, downloadArguments(0, 0)),
      frame({ proc: UPLOAD, type: MESSAGE.streamHole, serial: 3, status: STATUS.continue }, random.bytes(12))
    ]))
    return 'torn'
  },
  pings: (client, random) => {
    client.send({ proc: REMOTE.connectSupportsFeature, serial: 0 }, encodeFeature(10))
    const one = random.chance(0.5) ? ping() : pong()
    return send(client, random, repeat(random.integer(1, random.chance(0.1) ? 20_000 : 300), () => one))
  },
  'a length that cannot be': (client, random) => {
    const head = frame({ proc: random.integer(0, 400) }, random.bytes(16))
    head.writeUInt32BE(random.pick(ILLEGAL_LENGTHS), 0)
    client.write(head)
    return 'torn'
  },
  'half a frame': (client, random) => {
    const whole = frame({ proc: random.integer(1, 450), type: random.pick([0, 0, 3, 4]), serial: 9 }, random.bytes(400))
    client.write(whole.subarray(0, random.integer(1, whole.length - 1)))
    return 'torn'
  },
  'the beginning of a giant': (client, random) => {
    const head = frame({ proc: random.pick([REMOTE.connectOpen, REMOTE.domainGetXmlDesc, UPLOAD]), type: random.pick([0, 0, 4]) })
    head.writeUInt32BE(33_554_436, 0)
    client.write(head, Buffer.alloc(random.integer(0, 2_000_000)))
    return 'torn'
  },
  'a giant': (client, random) =>
    send(client, random, frame({ proc: REMOTE.domainGetXmlDesc, serial: 77 }, Buffer.alloc(random.integer(100_000, 3_000_000)))),
  'a frame with a few bytes changed': (client, random) => {
    const bytes = frame({ proc: random.integer(1, 460), serial: serial(random) }, random.bytes(40))
    for (let i = random.integer(1, 4); i > 0; i--) bytes[random.integer(0, bytes.length - 1)] = random.integer(0, 255)
    client.write(bytes)
    return 'torn'
  },
  noise: (client, random) => {
    client.write(random.bytes(random.integer(1, 3000)))
    return 'torn'
  },
  'calls that announce descriptors': (client, random) => {
    const count = random.pick([0, 1, 2, 32, 33, 0xffffffff])
    const words = Buffer.alloc(8)
    words.writeUInt32BE(count, 0)
    client.send({ type: MESSAGE.callWithFds, proc: random.integer(1, 400), serial: serial(random) }, words)
    if (random.chance(0.5)) passDescriptors(client.socket, random.integer(1, 4))
    return 'torn'
  },
  'descriptors where none belong': (client, random) => {
    passDescriptors(client.socket, random.integer(1, 40))
    return 'torn'
  }
}

/** Over TCP this sends the zero bytes only, which belong nowhere either. */
function passDescriptors(socket: Socket, count: number): void {
  const fd = (socket as unknown as { _handle?: { fd: number } })._handle?.fd
  for (let i = 0; i < count && fd !== undefined && fd >= 0; i++) sendDescriptor(fd, nothing)
}

export const MOVES = Object.keys(moves)

/** Makes one random move. Returns its name, and how things stand. */
export function hostileMove(client: RawClient, random: Random): [name: string, after: After] {
  const name = random.pick(MOVES)
  return [name, moves[name]!(client, random)]
}
