import { HEADER_BYTES, MESSAGE, STATUS } from '#protocol/header.js'
import { STREAM_CHUNK_BYTES, streamData, streamFinish } from '#protocol/messages/streams.js'
import { OutgoingFrame, type Connection } from './connection.js'
import { idle } from './opening.js'
import type { Call, Outcome } from './orders.js'
import { Tally } from './outcome.js'
import { Patience, STUCK_MS } from './patience.js'

const REMOTE_PROGRAM = 0x20008086

/** Calls `call`, takes the whole stream, finishes it. `bytes` of the outcome is the data that came. */
export function download(client: Connection, call: Call): Promise<Outcome> {
  return new Promise(resolve => {
    const tally = new Tally()
    const patience = new Patience(STUCK_MS, () => end('the stream is stuck'))
    const end = (failure?: string): void => {
      patience.end()
      if (failure !== undefined) tally.fail(failure)
      client.user = idle
      resolve(tally.finish())
    }
    client.user = {
      frame(_client, type, status, length) {
        patience.renew()
        if (status === STATUS.error) return end('the server broke the stream')
        if (type === MESSAGE.reply) return
        if (type !== MESSAGE.stream) return void tally.events++
        if (status === STATUS.ok) {
          tally.count++
          end()
        } else if (length > HEADER_BYTES) tally.bytes += length - HEADER_BYTES
        else client.sendAsIs(finishFrame(client, call))
      },
      lost: (_client, reason) => end(reason)
    }
    client.send(OutgoingFrame.call(call))
  })
}

/** Calls `call`, sends `bytes` in chunks as large as libvirt's own, finishes the stream. */
export function upload(client: Connection, call: Call, bytes: number): Promise<Outcome> {
  return new Promise(resolve => {
    const tally = new Tally()
    let left = bytes
    let chunk: OutgoingFrame | undefined
    const patience = new Patience(STUCK_MS, () => end('the stream is stuck'))
    const end = (failure?: string): void => {
      patience.end()
      if (failure !== undefined) tally.fail(failure)
      client.user = idle
      resolve(tally.finish())
    }
    const pump = (): void => {
      while (chunk !== undefined && !client.busy && !client.closed) {
        if (left === 0) {
          chunk = undefined
          return client.sendAsIs(finishFrame(client, call))
        }
        const size = Math.min(left, STREAM_CHUNK_BYTES)
        left -= size
        tally.bytes += size
        patience.renew()
        client.sendAsIs(size === STREAM_CHUNK_BYTES ? chunk : dataFrame(client, call, size))
      }
    }
    client.user = {
      drained: pump,
      frame(_client, type, status) {
        if (status === STATUS.error) return end('the server broke the stream')
        if (type === MESSAGE.reply) {
          chunk = dataFrame(client, call, STREAM_CHUNK_BYTES)
          pump()
        } else if (type === MESSAGE.stream && status === STATUS.ok) {
          tally.count++
          end()
        }
      },
      lost: (_client, reason) => end(reason)
    }
    client.send(OutgoingFrame.call(call))
  })
}

const streamOf = (client: Connection, { procedure }: Call) =>
  ({ prog: REMOTE_PROGRAM, proc: procedure, serial: client.serial })

const finishFrame = (client: Connection, call: Call): OutgoingFrame =>
  new OutgoingFrame(streamFinish(streamOf(client, call)))

const dataFrame = (client: Connection, call: Call, size: number): OutgoingFrame =>
  new OutgoingFrame(streamData(streamOf(client, call), new Uint8Array(size)))
