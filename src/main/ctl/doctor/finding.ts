/** What a check has found. */
export interface Finding {
  /** `note`: worth knowing, and nothing is wrong. */
  readonly level: 'ok' | 'note' | 'problem'
  /** Which check it is from. */
  readonly check: string
  readonly what: string
  /** What to do about it. */
  readonly advice: string | undefined
}

export const ok = (check: string, what: string): Finding => ({ level: 'ok', check, what, advice: undefined })
export const note = (check: string, what: string, advice?: string): Finding => ({ level: 'note', check, what, advice })
export const problem = (check: string, what: string, advice: string): Finding => ({ level: 'problem', check, what, advice })
