export type AccountKind = 'user' | 'group'

/** From an actor thread to the supervisor, and from there to the process that looks names up. */
export interface NameQuestion {
  kind: AccountKind
  id: number
}

/** One text for each question. */
export const keyOf = ({ kind, id }: NameQuestion): string => `${kind}${id}`

/** The way back. `failed`: nobody could say; the name may be there all the same. */
export interface NameAnswer extends NameQuestion {
  /** Undefined: there is none. */
  name?: string | undefined
  failed?: boolean
}
