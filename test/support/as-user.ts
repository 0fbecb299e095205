import { chmod } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cleanup } from './cleanup.js'
import { FakeDriver } from './fake-driver.js'
import { RawClient } from './raw-client.js'

/** Users that every Debian has, and that have no special rights. */
export const USER = { daemon: 1, bin: 2, nobody: 65534 } as const

/** The kernel notes the effective user at `connect`, which a UNIX socket does within the call. */
export function connectAs(cleanup: Cleanup, uid: number, path: string, gid = 0): Promise<RawClient> {
  process.setegid!(gid)
  process.seteuid!(uid)
  try {
    return RawClient.connect(cleanup, path)
  } finally {
    process.seteuid!(0)
    process.setegid!(0)
  }
}

/** A driver daemon of another user. The kernel notes the effective user at `listen`, too. */
export function listenAs(cleanup: Cleanup, uid: number, path: string): Promise<FakeDriver> {
  process.seteuid!(uid)
  try {
    return FakeDriver.listen(cleanup, path)
  } finally {
    process.seteuid!(0)
  }
}

/** As `connectAs`, and tries again while a backlog is full: `connect` of others than Node waits for that by itself. */
export async function arriveAs(cleanup: Cleanup, uid: number, path: string): Promise<RawClient> {
  for (;;) {
    try {
      return await connectAs(cleanup, uid, path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      await sleep(5)
    }
  }
}

/** Lets other users reach the sockets in a directory of the tests. */
export const openToAll = (dir: string): Promise<void> => chmod(dir, 0o755)
