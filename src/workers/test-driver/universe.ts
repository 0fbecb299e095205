import { CODE, DOMAIN, RemoteError } from '../../protocol/errors.js'
import { TurnQueue } from '../base/turn-queue.js'
import type { Hypervisor } from './hypervisor.js'
import { loadDefault, loadFile } from './node-file.js'
import { invalidArg } from './failures.js'
import type { PrivateFiles } from './private-files.js'

const noDriver = (uri: string): RemoteError => {
  const message = `no connection driver available for ${uri}`
  return new RemoteError(CODE.noConnect, DOMAIN.none, message, {
    str1: 'no connection driver available for %1$s',
    str2: uri
  })
}

/** The path of a `test:` URI, or undefined if it is no such URI. */
function testPath(uri: string): string | undefined {
  if (!URL.canParse(uri)) return undefined
  const url = new URL(uri)
  try {
    return url.protocol === 'test:' && url.host === '' ? decodeURIComponent(url.pathname) : undefined
  } catch {
    return undefined
  }
}

/**
 * The hypervisors that have clients. All clients of `test:///default` see the same one, and it begins anew when the
 * last of them has gone, as in libvirt, or lasts as long as the driver; a file's is its client's own.
 */
export class Universe {
  #default: Hypervisor | undefined
  readonly #loads = new TurnQueue()
  readonly #clients = new Map<Hypervisor, number>()

  constructor(
    readonly files: PrivateFiles,
    readonly lasting: boolean
  ) {}

  /** Fails with RemoteError. A file that nobody waits for any more, as `leaving` is aborted, is not read to its end. */
  async attach(uri: string | undefined, leaving: AbortSignal): Promise<Hypervisor> {
    const path = uri ? testPath(uri) : undefined
    if (path === undefined || !uri) throw noDriver(uri === undefined || uri === '' ? '<null>' : uri)
    if (path === '' || path === '/') throw invalidArg('testOpen: supply a path or use test:///default')
    const hypervisor =
      path === '/default'
        ? (this.#default ??= loadDefault(this.files))
        : await this.#loads.run(loadFile(uri, path, this.files), leaving)
    this.#clients.set(hypervisor, (this.#clients.get(hypervisor) ?? 0) + 1)
    return hypervisor
  }

  release(hypervisor: Hypervisor): void {
    const left = (this.#clients.get(hypervisor) ?? 0) - 1
    if (left > 0) {
      this.#clients.set(hypervisor, left)
      return
    }
    this.#clients.delete(hypervisor)
    if (hypervisor === this.#default && !this.lasting) this.#default = undefined
  }
}
