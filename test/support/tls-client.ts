import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import type { Cleanup } from './cleanup.js'
import type { Credentials } from './pki.js'
import { RawClient } from './raw-client.js'

/** Connects over TLS and resolves when the server has sent its confirmation; rejects when it closes instead. */
export async function confirmed(
  port: number,
  { certificate, key }: Credentials,
  options: ConnectionOptions = {}
): Promise<TLSSocket> {
  const socket = connect({
    host: '127.0.0.1',
    port,
    cert: readFileSync(certificate),
    key: readFileSync(key),
    // What the server is like is not what these tests are about.
    rejectUnauthorized: false,
    ...options
  })
  socket.setNoDelay(true)
  await confirmation(socket)
  return socket
}

/** Waits for the byte that says that the certificate is accepted; rejects if the server closes instead. */
export async function confirmation(socket: Socket): Promise<void> {
  const closed = new AbortController()
  socket.on('error', () => closed.abort())
  socket.once('close', () => closed.abort())
  for (;;) {
    const byte = socket.read(1) as Buffer | null
    if (byte?.[0] === 1) return
    if (byte !== null) throw new Error(`the server sent ${byte[0]}`)
    await once(socket, 'readable', { signal: closed.signal }).catch(() => {
      throw new Error('the server closed the connection')
    })
    if (closed.signal.aborted) throw new Error('the server closed the connection')
  }
}

/** A client that speaks the protocol by hand, over TLS. */
export async function rawTlsClient(cleanup: Cleanup, port: number, credentials: Credentials): Promise<RawClient> {
  const socket = await confirmed(port, credentials)
  cleanup.defer(() => Promise.resolve(socket.destroy()))
  return new RawClient(socket)
}
