/** A capture file with one TCP connection between two ends on 127.0.0.1, for tools that read captures. */

export type Sender = 'client' | 'server'

/** What one end wrote. */
export interface Sent {
  from: Sender
  bytes: Buffer
}

const CLIENT_PORT = 40_000
const SERVER_PORT = 16_509
const IP_BYTES = 20
const TCP_BYTES = 20
/** Largest segment: an IP packet has a 16-bit length. */
const MAX_SEGMENT = 60_000
/** LINKTYPE_RAW: packets start with their IP header. */
const LINKTYPE_RAW = 101
const ACK_AND_PUSH = 0x18

/** Each item makes one packet or, above 60,000 bytes, several. */
export function pcap(conversation: readonly Sent[]): Buffer {
  const out = [fileHeader()]
  const next = { client: 1, server: 1 }
  for (const { from, bytes } of conversation) {
    const to = from === 'client' ? 'server' : 'client'
    for (let at = 0; at < bytes.length; at += MAX_SEGMENT) {
      const segment = bytes.subarray(at, at + MAX_SEGMENT)
      const packet = Buffer.concat([ipHeader(segment.length), tcpHeader(from, next[from], next[to]), segment])
      out.push(recordHeader(out.length, packet.length), packet)
      next[from] += segment.length
    }
  }
  return Buffer.concat(out)
}

function fileHeader(): Buffer {
  const header = Buffer.alloc(24)
  header.writeUInt32LE(0xa1b2c3d4, 0)
  header.writeUInt16LE(2, 4) // version 2.4
  header.writeUInt16LE(4, 6)
  header.writeUInt32LE(262_144, 16) // longest packet
  header.writeUInt32LE(LINKTYPE_RAW, 20)
  return header
}

/** One second between packets, which is as good as any. */
function recordHeader(second: number, length: number): Buffer {
  const header = Buffer.alloc(16)
  header.writeUInt32LE(second, 0)
  header.writeUInt32LE(length, 8)
  header.writeUInt32LE(length, 12)
  return header
}

// Checksums stay zero: readers take that for "left to the network card".
function ipHeader(payload: number): Buffer {
  const header = Buffer.alloc(IP_BYTES)
  header[0] = 0x45 // version 4, five words
  header.writeUInt16BE(IP_BYTES + TCP_BYTES + payload, 2)
  header[8] = 64 // time to live
  header[9] = 6 // TCP
  header.set([127, 0, 0, 1], 12)
  header.set([127, 0, 0, 1], 16)
  return header
}

function tcpHeader(from: Sender, sequence: number, acknowledged: number): Buffer {
  const header = Buffer.alloc(TCP_BYTES)
  header.writeUInt16BE(from === 'client' ? CLIENT_PORT : SERVER_PORT, 0)
  header.writeUInt16BE(from === 'client' ? SERVER_PORT : CLIENT_PORT, 2)
  header.writeUInt32BE(sequence, 4)
  header.writeUInt32BE(acknowledged, 8)
  header[12] = 0x50 // five words
  header[13] = ACK_AND_PUSH
  header.writeUInt16BE(0xffff, 14)
  return header
}
