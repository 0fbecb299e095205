import { Registry, type Metric as ClientMetric, type RegistryContentType } from 'prom-client'
import type { Metric } from './metric.js'

const PREFIX = 'virtbroker_'

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
