import { crc32, deflateSync } from 'node:zlib'
import { REMOTE } from '../../../protocol/procedures.js'
import { DOMAIN } from '../../../protocol/errors.js'
import type { HandlerTable } from '../call.js'
import { checkFlags, internal, invalid } from '../failures.js'
import { MAX_CHUNK, type StreamEnd } from '../../serving/streams.js'
import { readDomain, readString, writeString } from '../wire.js'
import { attribute, childrenNamed, find, type XmlElement } from '../xml/xml.js'

const CONSOLE_FLAGS = 3
const CHANNEL_FLAGS = 1
/** What an echo keeps for a client that does not read, in bytes. */
const MAX_ECHO = 1024 * 1024

/** Says back what it is told, as a terminal without a machine behind it. */
function echo(): StreamEnd {
  const waiting: Buffer[] = []
  let held = 0
  return {
    take: bytes => {
      held += bytes.length
      if (held > MAX_ECHO) throw internal('too much is waiting to be read', DOMAIN.streams)
      waiting.push(Buffer.from(bytes))
    },
    supply: () => {
      const next = waiting.shift()
      held -= next?.length ?? 0
      return next
    }
  }
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type), data])
  const out = Buffer.alloc(body.length + 8)
  out.writeUInt32BE(data.length)
  body.copy(out, 4)
  out.writeUInt32BE(crc32(body), body.length + 4)
  return out
}

const SCREEN = { width: 320, height: 200 } as const

/** A picture of a screen with nothing on it but a gradient: PNG, 8 bits of grey. */
function picture(): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(SCREEN.width)
  header.writeUInt32BE(SCREEN.height, 4)
  header[8] = 8
  const rows = Buffer.alloc((SCREEN.width + 1) * SCREEN.height)
  for (let y = 0; y < SCREEN.height; y++)
    for (let x = 0; x < SCREEN.width; x++)
      rows[y * (SCREEN.width + 1) + 1 + x] = ((x + y) * 255) / (SCREEN.width + SCREEN.height)
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0))
  ])
}

function sending(bytes: Buffer): StreamEnd {
  let at = 0
  return {
    supply: () => {
      if (at >= bytes.length) return 'end'
      at += MAX_CHUNK
      return bytes.subarray(at - MAX_CHUNK, at)
    }
  }
}

const named = (devices: XmlElement[], name: string): XmlElement | undefined =>
  devices.find(
    device => attribute(find(device, 'alias'), 'name') === name || attribute(find(device, 'target'), 'name') === name
  )

export const domainStreamHandlers: HandlerTable = {
  [REMOTE.domainScreenshot]: ({ args, reply }) => {
    readDomain(args)
    args.u32()
    checkFlags(args.u32(), 0, 'testDomainScreenshot')
    reply.optional('image/png', writeString)
    return sending(picture())
  },
  [REMOTE.domainOpenConsole]: ({ hypervisor, args }) => {
    const ref = readDomain(args)
    const name = args.optional(readString)
    checkFlags(args.u32(), CONSOLE_FLAGS, 'testDomainOpenConsole')
    const domain = hypervisor.domain(ref)
    domain.requireActive()
    // Without a name any domain has a console, so that everybody can try one; a name has to be that of a device.
    const devices = find(domain.definition.tree, 'devices')
    const terminals = [...childrenNamed(devices, 'console'), ...childrenNamed(devices, 'serial')]
    if (name !== undefined && !named(terminals, name)) throw internal(`cannot find console device '${name}'`)
    return echo()
  },
  [REMOTE.domainOpenChannel]: ({ hypervisor, args }) => {
    const ref = readDomain(args)
    const name = args.optional(readString)
    checkFlags(args.u32(), CHANNEL_FLAGS, 'testDomainOpenChannel')
    const domain = hypervisor.domain(ref)
    domain.requireActive()
    const channels = childrenNamed(find(domain.definition.tree, 'devices'), 'channel')
    const channel = name === undefined ? channels[0] : named(channels, name)
    if (!channel) throw invalid(`cannot find channel ${name ?? '(null)'}`)
    return echo()
  }
}
