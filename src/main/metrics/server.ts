import {
  createServer, type IncomingHttpHeaders, type IncomingMessage, type OutgoingHttpHeaders, type Server, type ServerResponse
} from 'node:http'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { isLoopback } from '../config/listeners.js'
import { MAX_CONNECTIONS, MOST_AT_ONCE } from './limits.js'

/** What of a request an answer may depend on. */
export interface Asked {
  readonly headers: IncomingHttpHeaders
  readonly query: URLSearchParams
}

export interface Answered {
  readonly status: number
  readonly contentType: string
  readonly body: string | Buffer
  readonly headers?: OutgoingHttpHeaders
}

/** What a path answers with. */
export type Answer = (asked: Asked) => Promise<Answered>

/** What is at a path now, if anything. */
export type Find = (path: string) => Answer | undefined

/** From the first byte of a request to the last of its answer. */
const REQUEST_MS = 5000
const CHECK_MS = 1000
const MAX_HEADER_BYTES = 8192

/**
 * Metrics and health, and whatever else is told over HTTP. It changes nothing, takes little of anything, and runs in the
 * supervisor's loop.
 */
export class MetricsServer {
  readonly #server: Server
  readonly #find: Find
  readonly #failed: (error: unknown) => void
  /** Browsers reach ports of this host for whatever page they show, under a name of its own. */
  readonly #checksHost: boolean
  /** The oldest first. */
  readonly #connections = new Set<Socket>()
  /** Those of them that wait for an answer. */
  readonly #asking = new WeakSet<Socket>()

  /** `tcp`: it listens on a port. `failed`: is told why something cannot be answered. */
  constructor(find: Find, tcp: boolean, failed: (error: unknown) => void) {
    this.#find = find
    this.#checksHost = tcp
    this.#failed = failed
    this.#server = createServer(
      {
        maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: REQUEST_MS, requestTimeout: REQUEST_MS, keepAliveTimeout: REQUEST_MS,
        connectionsCheckingInterval: CHECK_MS
      },
      (request, response) => this.#take(request, response)
    )
    this.#server.maxConnections = MOST_AT_ONCE
    this.#server.on('connection', (socket: Socket) => this.#come(socket))
  }

  /** Takes a listening socket over. */
  async listen(fd: number): Promise<void> {
    this.#server.listen({ fd })
    await once(this.#server, 'listening')
    // The broker ends without it.
    this.#server.unref()
  }

  /** Closes all connections too. */
  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  /** Who asks for nothing keeps nobody out: if there are too many, the oldest of those goes. */
  #come(socket: Socket): void {
    this.#connections.add(socket)
    socket.on('close', () => this.#connections.delete(socket))
    if (this.#connections.size <= MAX_CONNECTIONS) return
    for (const one of this.#connections) if (!this.#asking.has(one)) return void one.destroy()
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    // Nobody sends the next request before he has his answer, but who wants thousands of pages made at once.
    if (this.#asking.has(socket)) socket.destroy()
    if (socket.destroyed) return
    this.#asking.add(socket)
    const late = setTimeout(() => socket.destroy(), REQUEST_MS).unref()
    response.on('close', () => {
      clearTimeout(late)
      this.#asking.delete(socket)
    })
    // Whatever else comes by it is not wanted.
    request.resume()
    this.#answer(request, response).catch((error: unknown) => {
      this.#failed(error)
      send(response, text(500, 'internal failure'))
    })
  }

  async #answer({ method, url = '', headers }: IncomingMessage, response: ServerResponse): Promise<void> {
    const refuse = (status: number, why: string): void => {
      response.setHeader('Connection', 'close')
      send(response, text(status, why))
    }
    if (method !== 'GET') {
      response.setHeader('Allow', 'GET')
      return refuse(405, 'only GET')
    }
    if (this.#checksHost && !isOwnHost(headers.host)) return refuse(421, NOT_OURS)
    const [path = '', query] = url.split('?', 2)
    const answer = this.#find(path)
    if (answer === undefined) return refuse(404, 'there is nothing here')
    send(response, await answer({ headers, query: new URLSearchParams(query) }))
  }
}

export const NOT_OURS = 'this host is not called so'

/** Whatever the port: it may be reached through a tunnel. */
export function isOwnHost(host = ''): boolean {
  const [, name] = /^(\[[^\]]*\]|[^:]*)(?::\d*)?$/.exec(host) ?? []
  return isLoopback(name?.replace(/^\[|\]$/g, '').toLowerCase())
}

export const text = (status: number, what: string, headers: OutgoingHttpHeaders = {}): Answered =>
  ({ status, contentType: 'text/plain; charset=utf-8', body: `${what}\n`, headers })

function send(response: ServerResponse, { status, contentType, body, headers }: Answered): void {
  if (response.headersSent || response.destroyed) return
  response.writeHead(status, {
    'Content-Type': contentType, 'Content-Length': Buffer.byteLength(body), 'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff', 'Cross-Origin-Resource-Policy': 'same-origin', ...headers
  })
  response.end(body)
}
