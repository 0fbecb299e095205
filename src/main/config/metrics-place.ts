import { isAbsolute } from 'node:path'
import { isLoopback } from './listeners.js'
import { StartupError } from './startup-error.js'

/** Where the metrics are to be had. `host`: numeric, of this host alone. */
export type MetricsPlace = { kind: 'unix'; path: string } | { host: string; port: number }

/** What `metrics_listen` says; undefined: nowhere. Throws StartupError. */
export function metricsPlace(text: string, file: string): MetricsPlace | undefined {
  const refuse = (what: string): never => {
    throw new StartupError(`unsupported configuration: ${file}: metrics_listen: '${text}' ${what}`)
  }
  if (text === '') return undefined
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length)
    return isAbsolute(path) ? { kind: 'unix', path } : refuse('has no absolute path')
  }
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text) ?? []
  const host = bracketed ?? plain
  if (host === undefined || Number(port) > 65535 || Number(port) === 0) return refuse('is not of the form ADDRESS:PORT or unix:/PATH')
  if (!isLoopback(host)) return refuse('is no loopback address: nobody logs in there, so a proxy has to stand before it')
  return { host: host === 'localhost' ? '127.0.0.1' : host, port: Number(port) }
}
