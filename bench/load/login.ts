import { HEADER_BYTES, MESSAGE, STATUS } from '#protocol/header.js'
import { AUTH, decodeAuthList } from '#protocol/messages/auth.js'
import { REMOTE } from '#protocol/procedures.js'
import { type Connection, OutgoingFrame, type User } from './connection.js'
import { errorMessage } from './error-message.js'

const authList = OutgoingFrame.call({ procedure: REMOTE.authList, body: new Uint8Array(0) })
const authPolkit = OutgoingFrame.call({ procedure: REMOTE.authPolkit, body: new Uint8Array(0) })

/**
 * Asks what login the server wants, as libvirt's clients do, does it where it needs no secret, and goes on with `open`,
 * whose reply is for `opening`.
 */
export function loginBefore(
  opening: User,
  open: OutgoingFrame,
  refused: (connection: Connection, why: string) => void
): User {
  const goOn = (connection: Connection): void => {
    connection.user = { ...opening, drained: () => undefined }
    connection.send(open)
  }
  const lost: User['lost'] = (connection, reason) => opening.lost(connection, reason)
  const proving: User = {
    frame(connection, type, status) {
      if (type !== MESSAGE.reply) return
      if (status === STATUS.ok) goOn(connection)
      else refused(connection, 'polkit did not let it in')
    },
    lost
  }
  return {
    drained: connection => connection.send(authList),
    frame(connection, type, status, length, bytes, bodyAt) {
      if (type !== MESSAGE.reply) return
      if (status !== STATUS.ok) return refused(connection, `AUTH_LIST was refused: ${errorMessage(bytes, bodyAt, length)}`)
      const wanted = decodeAuthList(bytes.subarray(bodyAt, bodyAt + length - HEADER_BYTES))
      if (wanted.includes(AUTH.none)) return goOn(connection)
      if (!wanted.includes(AUTH.polkit)) return refused(connection, 'the server wants a password (SASL), and there is none')
      connection.user = proving
      connection.send(authPolkit)
    },
    lost
  }
}
