export const SORTED_BY = [
  'id', 'user', 'address', 'transport', 'driver', 'state', 'thread', 'calls', 'inFlight', 'oldest', 'in', 'out'
] as const
export type SortedBy = (typeof SORTED_BY)[number]

/** Which clients are asked for. */
export interface ClientQuery {
  readonly sort: SortedBy
  readonly descending: boolean
  /** In lower case: what some text of the client contains. */
  readonly filter: string
  readonly rows: number
}

export const MOST_ROWS = 200
const USUAL_ROWS = 20
const MAX_FILTER = 64

/** What cannot be understood is as if it were not there. */
export function clientQuery(query: URLSearchParams): ClientQuery {
  const sort = SORTED_BY.find(name => name === query.get('sort')) ?? 'calls'
  const rows = Number(query.get('rows') ?? USUAL_ROWS)
  return {
    sort,
    descending: query.get('order') === 'descending',
    filter: (query.get('filter') ?? '').slice(0, MAX_FILTER).toLowerCase(),
    rows: Number.isInteger(rows) && rows >= 0 ? Math.min(rows, MOST_ROWS) : USUAL_ROWS
  }
}
