import '../os/no-debugger.js'
import '../os/broker-signals.js'
import { failureText } from '../base/log.js'
import { becomeUser } from '../os/become-user.js'
import { startTestDriver } from './main.js'
import { PrivateFiles } from './private-files.js'

/** What the process is told, once. */
export interface TestDriverTask {
  socketPath: string
  /** Where the files are that clients can name. */
  directory: string
  /** Whom it is to run as from then on; absent: as whoever started it. */
  user: UserIds | undefined
}

interface UserIds {
  uid: number
  gid: number
}

/** What it says: that its sockets are there, and why it could not become the user; or what failed in it. */
export interface TestDriverNews {
  ready?: boolean
  notDropped?: string | undefined
  failure?: string
}

// The broker wants us to end, or has ended itself. The kernel closes what is open.
process.once('disconnect', () => process.exit(0))
process.once('uncaughtException', error => say({ failure: failureText(error) }, () => process.exit(1)))
process.once('message', (task: TestDriverTask) => {
  try {
    const files = new PrivateFiles(task.directory, task.user?.uid)
    // What one virsh does the next one is to see.
    startTestDriver({ socketPath: task.socketPath, files, lasting: true, onFailure: error => say({ failure: failureText(error) }) })
    say({ ready: true, notDropped: task.user === undefined ? undefined : become(task.user, files) })
  } catch (error) {
    say({ failure: (error as Error).message }, () => process.exit(1))
  }
})

const say = (news: TestDriverNews, said?: () => void): void => void process.send?.(news, undefined, undefined, said)

/**
 * Gives all rights of root away, for good; what is open stays open, and all code is loaded by now, so that this user
 * need not be able to read any of it. Says why if it cannot be done.
 */
function become({ uid, gid }: UserIds, files: PrivateFiles): string | undefined {
  try {
    files.giveTo(uid, gid)
    becomeUser(uid, gid)
    return undefined
  } catch (error) {
    files.giveTo(process.geteuid!(), process.getegid!())
    return (error as Error).message
  }
}
