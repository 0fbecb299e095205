/** One virsh command line of the parity tests. */
export interface ParityCommand {
  /** `@/` at the start of a word stands for the directory with the XML files. */
  line: string
  /** Exit status that the real libvirtd gives; keeps a list from being all errors, or all successes, unnoticed. */
  status: 0 | 1
  /** Run as `virsh -r`. */
  readonly: boolean
  /** Parts of the output that depend on the clock or on a counter of the daemon, which every run moves on. */
  moving: readonly RegExp[]
}

/** A command that succeeds. */
export function ok(line: string, ...moving: RegExp[]): ParityCommand {
  return { line, status: 0, readonly: false, moving }
}

/** A command that fails. */
export function fails(line: string, ...moving: RegExp[]): ParityCommand {
  return { line, status: 1, readonly: false, moving }
}

/** A command of a read-only client that succeeds. */
export function readonlyOk(line: string, ...moving: RegExp[]): ParityCommand {
  return { line, status: 0, readonly: true, moving }
}

/** A command that is refused to a read-only client. */
export function readonlyFails(line: string, ...moving: RegExp[]): ParityCommand {
  return { line, status: 1, readonly: true, moving }
}
