import { openSync } from 'node:fs'
import { join } from 'node:path'
import { endpoint, ADDRESS_BYTES, writeIpAddress } from '#workers/os/address.js'
import {
  accept4,
  AF_INET,
  close,
  connect,
  Memory,
  MSG_DONTWAIT,
  sendBytes,
  setIntOption,
  setsockopt,
  SO_SNDBUF,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  socket,
  SOL_SOCKET
} from '#workers/os/libc.js'
import { listenTcp } from '#workers/os/listening-sockets.js'
import type { Cleanup } from './cleanup.js'
import { printed, Program, run } from './processes.js'
import { tempDir } from './temp-dir.js'
import { waitFor } from './waiting.js'

const SO_RCVBUF = 8
const SO_LINGER = 13
export const LINGER_S = 20

const memory = new Memory(ADDRESS_BYTES)

/**
 * A TCP socket with data that its peer never takes: whoever closes it last waits for `LINGER_S` seconds. The peer is
 * closed by the cleanup.
 */
export function lingeringSocket(cleanup: Cleanup): number {
  const { fd: listener } = listenTcp('127.0.0.1', 0, 1)
  // What the peer has room for does not linger.
  setIntOption(listener, SOL_SOCKET, SO_RCVBUF, 2048)
  const length = writeIpAddress(memory, '127.0.0.1', endpoint(listener, 'local')!.port)
  const fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)
  setIntOption(fd, SOL_SOCKET, SO_SNDBUF, 4096)
  if (connect(fd, memory.address, length) !== 0) throw new Error('no connection over loopback')
  const peer = accept4(listener, 0, 0, SOCK_CLOEXEC)
  close(listener)
  cleanup.defer(() => Promise.resolve(close(peer)))
  const bytes = Buffer.alloc(64 * 1024)
  while (sendBytes(fd, bytes, bytes.length, MSG_DONTWAIT) > 0);
  memory.bytes.writeInt32LE(1, 0)
  memory.bytes.writeInt32LE(LINGER_S, 4)
  if (setsockopt(fd, SOL_SOCKET, SO_LINGER, memory.address, 8) !== 0) throw new Error('SO_LINGER was not set')
  return fd
}

/** Files of a FUSE file system whose server answers everything but that one of them is closed. */
export class HangingFiles {
  private constructor(
    readonly dir: string,
    readonly server: Program
  ) {}

  static async mount(cleanup: Cleanup): Promise<HangingFiles> {
    const dir = await tempDir(cleanup)
    const server = new Program([process.execPath, new URL('fuse-server.js', import.meta.url).pathname, dir])
    cleanup.defer(() => run(['umount', '-l', dir]))
    cleanup.defer(() => server.stop('SIGKILL'))
    await printed(server, /mounted/)
    return new HangingFiles(dir, server)
  }

  open(): number {
    return openSync(join(this.dir, 'file'), 'r')
  }

  /** How often one has been closed, or is being closed: each time by one of those who have it open. */
  get closings(): number {
    return this.server.stdout.split('closing').length - 1
  }

  /** Whoever waits goes on. */
  async release(): Promise<void> {
    await this.server.stop('SIGKILL')
    await waitFor('the end of the file system', () => this.server.ended)
  }
}
