/** With what the process ends when it could not start: virtproxyd's exit codes (`VIR_DAEMON_ERR_*`). */
export const EXIT = { failure: 1, runDir: 2, init: 3, network: 6 } as const

/** Why there can be no start. The message is complete; `exitCode` is what the process should end with. */
export class StartupError extends Error {
  override name = 'StartupError'
  /** `errno`: of the system call that failed, where it was one; 0 otherwise. */
  constructor(
    message: string,
    readonly exitCode: number = EXIT.failure,
    readonly errno = 0
  ) {
    super(message)
  }
}

/** For whatever a start has failed with. */
export const exitCode = (error: unknown): number => (error instanceof StartupError ? error.exitCode : EXIT.failure)
