/** What has become of an attempt to write. */
export interface Written {
  /** How many of the lines are done with, from the first. */
  readonly lines: number
  /** Why there were not more; undefined if it is only that there is no room at this moment. */
  readonly error?: string
}

/** Where records of the audit are written to. */
export interface AuditSink {
  /** Told why something may be lost that was written: disks of other hosts say so when a file is closed, if at all. */
  troubled?: ((why: string) => void) | undefined
  /**
   * Writes lines, or the first of them. Nothing else is written before it has resolved, and then what was left of these comes
   * first. Never rejects, and blocks nobody, however long it takes.
   */
  write(lines: readonly string[]): Promise<Written>
  /** For a file that was renamed. Resolves with why it goes on in the old one, if so. */
  reopen(): Promise<string | undefined>
  /** Resolves when all is closed: never while a write does not come back. */
  close(): Promise<void>
}
