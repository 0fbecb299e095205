export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
  /** Of a histogram's name. */
  readonly suffix?: '_bucket' | '_sum' | '_count'
}

/** One name on the page. */
export interface Metric {
  /** Without the prefix that all have. */
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly samples: readonly Sample[]
}

/** Some of what is on the page, as it is now. */
export type Source = () => readonly Metric[] | Promise<readonly Metric[]>

export const gauge = (name: string, help: string, samples: readonly Sample[]): Metric => ({ name, help, type: 'gauge', samples })
export const only = (value: number): Sample[] => [{ labels: {}, value }]
