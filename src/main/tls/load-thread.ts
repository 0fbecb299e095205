import { aside, offer } from '../config/aside.js'
import { loadTls, type LoadedTls, type TlsOptions } from './load.js'

/** `loadTls` in a thread of its own: certificates and lists may be long. Rejects with the same StartupError. */
export const loadTlsAside = (options: TlsOptions): Promise<LoadedTls> => aside(import.meta.url, options)

await offer<TlsOptions>(import.meta.url, options => loadTls(options))
