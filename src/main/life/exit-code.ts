import { ListenError } from '../../workers/os/listening-sockets.js'
import { ConfError, EXIT } from '../config/grammar.js'

/** virtproxyd's exit code for a start that failed with this. */
export function exitCode(error: unknown): number {
  if (error instanceof ConfError) return error.exitCode
  return error instanceof ListenError ? EXIT.network : EXIT.failure
}
