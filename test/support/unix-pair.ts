import { join } from 'node:path'
import { connectUnix } from '#workers/driver/unix-connect.js'
import { FdLedger } from '#workers/os/fd-ledger.js'
import { accept4, close, SOCK_CLOEXEC, SOCK_NONBLOCK } from '#workers/os/libc.js'
import { listenUnix } from '#workers/os/listening-sockets.js'
import type { Cleanup } from './cleanup.js'
import { tempDir } from './temp-dir.js'

/** Both ends of a connection between UNIX sockets, the caller's to close. */
export async function unixPair(cleanup: Cleanup): Promise<[number, number]> {
  const path = join(await tempDir(cleanup), 'sock')
  const { fd: listener } = listenUnix(path, 0o700, undefined, 1)
  const { outcome } = await connectUnix([{ path, named: true }], new FdLedger(), 1, 5000, { up: false })
  const accepted = accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC)
  close(listener)
  return [accepted, outcome]
}
