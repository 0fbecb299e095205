import { lstatSync, readlinkSync, symlinkSync, unlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { close, reasonOf } from '../../workers/os/libc.js'
import type { ListeningSocket } from '../../workers/os/listening-sockets.js'
import { kindOf } from '../../workers/os/occupant.js'
import { fileId, removeIf } from '../../workers/os/own-file.js'
import { cannotListen } from './cannot-listen.js'

/**
 * The socket under a second name as well, that of a symbolic link beside it, which is removed together with the socket's
 * file. A link that leads to it already is one that an earlier start has left. Throws StartupError, and has closed the
 * socket, if something else is in the way.
 */
export function withAlias(socket: ListeningSocket, alias: string): ListeningSocket {
  const target = basename(socket.place)
  try {
    const why = makeLink(target, alias)
    if (why !== undefined) throw cannotListen(`'${alias}' cannot lead to '${target}': ${why}`)
  } catch (error) {
    socket.removeFile()
    close(socket.fd)
    throw error
  }
  const id = fileId(alias)
  const removeFile = (): void => {
    if (id !== undefined) removeIf(alias, id)
    socket.removeFile()
  }
  return { ...socket, removeFile }
}

/** Says why there is none. */
function makeLink(target: string, alias: string): string | undefined {
  try {
    const there = lstatSync(alias, { throwIfNoEntry: false })
    if (there !== undefined) {
      if (!there.isSymbolicLink() || readlinkSync(alias) !== target) return `${kindOf(there)} is in its place`
      unlinkSync(alias)
    }
    symlinkSync(target, alias)
    return undefined
  } catch (error) {
    return reasonOf(error)
  }
}
