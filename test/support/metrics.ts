import { once } from 'node:events'
import { Agent, request, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import { text } from 'node:stream/consumers'

export interface Fetched {
  status: number
  contentType: string
  body: string
}

/** A port of 127.0.0.1, or the path of a UNIX socket. */
export type Where = number | string

/** Gets a page over a connection of its own. */
export async function fetchPage(where: Where, path: string, headers: OutgoingHttpHeaders = {}, method = 'GET'): Promise<Fetched> {
  const place = typeof where === 'number' ? { host: '127.0.0.1', port: where } : { socketPath: where }
  const asked = request({ ...place, path, method, headers, agent: new Agent({ keepAlive: false }) })
  asked.end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  return { status: response.statusCode!, contentType: response.headers['content-type'] ?? '', body: await text(response) }
}

type Labels = Readonly<Record<string, string>>

/** What the page with metrics says. Names are without the prefix that all have. */
export class Metrics {
  readonly #samples: { name: string; labels: Labels; value: number }[] = []
  readonly types = new Map<string, string>()

  constructor(readonly page: string) {
    for (const line of page.split('\n')) {
      const [, name, type] = /^# TYPE virtbroker_(\S+) (\S+)$/.exec(line) ?? []
      if (name !== undefined) this.types.set(name, type!)
      const [, sample, labels = '', value] = /^virtbroker_(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
      if (sample === undefined) continue
      const pairs = Array.from(labels.matchAll(/(\w+)="([^"]*)"/g), ([, label, its]) => [label!, its!] as const)
      this.#samples.push({ name: sample, labels: Object.fromEntries(pairs), value: Number(value!.replace('Inf', 'Infinity')) })
    }
  }

  static async of(where: Where): Promise<Metrics> {
    const { status, body } = await fetchPage(where, '/metrics')
    if (status !== 200) throw new Error(`metrics: ${status} ${body}`)
    return new Metrics(body)
  }

  /** The sum of what has these labels, whatever others it has; undefined if there is none. */
  value(name: string, labels: Labels = {}): number | undefined {
    const wanted = Object.entries(labels)
    const found = this.#samples.filter(sample => sample.name === name && wanted.every(([label, its]) => sample.labels[label] === its))
    return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0)
  }

  /** All values of a label. */
  values(name: string, label: string): string[] {
    return [...new Set(this.#samples.filter(sample => sample.name === name).map(({ labels }) => labels[label] ?? ''))]
  }
}
