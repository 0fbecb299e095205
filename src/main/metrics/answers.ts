import { MadePages } from './made-pages.js'
import type { Source } from './metric.js'
import { pageOf } from './page.js'
import type { Answer } from './server.js'

/** Says why not, if something is the matter. */
export type Check = () => readonly string[] | Promise<readonly string[]>

export interface Health {
  /** The broker's loops turn. */
  readonly live: Check
  /** Clients are served who come now. */
  readonly ready: Check
}

const OPEN_METRICS = 'application/openmetrics-text'

/** What there is by its path. */
export const answers = (sources: readonly Source[], { live, ready }: Health): ReadonlyMap<string, Answer> =>
  new Map([['/metrics', metrics(sources)], ['/livez', health(live)], ['/readyz', health(ready)]])

function metrics(sources: readonly Source[]): Answer {
  const pages = new MadePages(async openMetrics => {
    const metrics = await Promise.all(sources.map(async source => source()))
    return pageOf(metrics.flat(), openMetrics)
  })
  return async ({ headers: { accept = '' } }) => ({ status: 200, ...await pages.get(accept.includes(OPEN_METRICS)) })
}

const health = (check: Check): Answer => async () => {
  const reasons = await check()
  const ok = reasons.length === 0
  const body = `${JSON.stringify({ status: ok ? 'ok' : 'failing', reasons })}\n`
  return { status: ok ? 200 : 503, contentType: 'application/json', body }
}
