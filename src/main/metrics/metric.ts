import { Registry, type Metric as ClientMetric, type RegistryContentType } from 'prom-client'

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

const PREFIX = 'virtbroker_'

export const gauge = (name: string, help: string, samples: readonly Sample[]): Metric => ({ name, help, type: 'gauge', samples })
export const only = (value: number): Sample[] => [{ labels: {}, value }]

export interface Page {
  readonly contentType: string
  readonly body: string
}

/** In Prometheus' text format, or in that of OpenMetrics. */
export async function pageOf(metrics: readonly Metric[], openMetrics: boolean): Promise<Page> {
  const registry = new Registry<RegistryContentType>()
  registry.setContentType(openMetrics ? Registry.OPENMETRICS_CONTENT_TYPE : Registry.PROMETHEUS_CONTENT_TYPE)
  for (const { name, help, type, samples } of metrics) {
    const values = samples.map(({ labels, value, suffix }) => (
      { labels, value, ...(suffix !== undefined && { metricName: `${PREFIX}${name}${suffix}` }) }
    ))
    // The library's own metrics count in its own memory; the registry asks no more of them than this.
    const metric = { name: PREFIX + name, help, type, get: () => ({ name: metric.name, help, type, values, aggregator: 'sum' }) }
    registry.registerMetric(metric as unknown as ClientMetric)
  }
  return { contentType: registry.contentType, body: await registry.metrics() }
}
