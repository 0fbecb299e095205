import { ListenError } from '../../workers/os/listening-sockets.js'
import { EXIT, StartupError } from '../config/startup-error.js'

/** A place that we cannot have ends the start, with virtproxyd's code for that. */
export const cannotListen = (why: string): StartupError => new StartupError(why, EXIT.network)

/** Makes a socket, or throws StartupError. */
export function listening<T>(listen: () => T): T {
  try {
    return listen()
  } catch (error) {
    throw error instanceof ListenError ? cannotListen(error.message) : error
  }
}
