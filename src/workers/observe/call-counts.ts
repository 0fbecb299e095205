import { PROGRAM, STATUS } from '../../protocol/header.js'
import type { SessionObserver } from '../thread/session-observer.js'

/** Procedures of each program that are counted one by one, from 0; all others together. */
const SPANS = [
  { prog: PROGRAM.remote, procedures: 1024 },
  { prog: PROGRAM.qemu, procedures: 64 },
  { prog: PROGRAM.lxc, procedures: 64 }
] as const
const OTHERS = SPANS.reduce((sum, { procedures }) => sum + procedures, 0)
/** Words of a procedure: how its calls ended. */
const OK = 0
const ERROR = 1
const REFUSED = 2
const WORDS = 3

/** How the calls of one procedure ended. `refused`: no daemon was given it. */
export interface ProcedureCounts {
  /** Undefined: of all procedures that are not counted one by one. */
  readonly prog: number | undefined
  readonly proc: number | undefined
  readonly ok: number
  readonly error: number
  readonly refused: number
}

/**
 * Counts calls by procedure, in memory that can be read by others while the thread hangs. Only one thread at a time writes
 * there. The numbers are doubles: integers of 32 bits would run over within a day, and longer ones be allocated.
 */
export class CallCounts implements SessionObserver {
  readonly timing = false
  readonly #counts: Float64Array

  constructor(shared: SharedArrayBuffer) {
    this.#counts = new Float64Array(shared)
  }

  static share(): SharedArrayBuffer {
    return new SharedArrayBuffer((OTHERS + 1) * WORDS * Float64Array.BYTES_PER_ELEMENT)
  }

  changed(): void {}

  answered(_client: unknown, prog: number, proc: number, status: number): void {
    this.#counts[placeOf(prog, proc) + (status === STATUS.ok ? OK : ERROR)]!++
  }

  refused(_client: unknown, prog: number, proc: number): void {
    this.#counts[placeOf(prog, proc) + REFUSED]!++
  }
}

function placeOf(prog: number, proc: number): number {
  let at = 0
  for (const span of SPANS) {
    if (span.prog === prog) return WORDS * (proc < span.procedures ? at + proc : OTHERS)
    at += span.procedures
  }
  return WORDS * OTHERS
}

/** What several threads have counted, without procedures that nobody has called. */
export function sumOf(threads: readonly SharedArrayBuffer[]): ProcedureCounts[] {
  const all = threads.map(shared => new Float64Array(shared))
  const places = [...SPANS.flatMap(({ prog, procedures }) => Array.from({ length: procedures }, (_, proc) => ({ prog, proc }))), OTHER]
  return places
    .map(({ prog, proc }, place) => {
      const count = (outcome: number): number => all.reduce((sum, counts) => sum + counts[WORDS * place + outcome]!, 0)
      return { prog, proc, ok: count(OK), error: count(ERROR), refused: count(REFUSED) }
    })
    .filter(({ ok, error, refused }) => ok + error + refused > 0)
}

const OTHER = { prog: undefined, proc: undefined }
