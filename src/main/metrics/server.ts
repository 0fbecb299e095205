import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { isLoopback } from '../config/listeners.js'
import { MAX_CONNECTIONS, MOST_AT_ONCE } from './limits.js'

/** What a path answers with. `accept`: what the request says it takes. */
export type Answer = (accept: string) => Promise<{ status: number; contentType: string; body: string }>

/** From the first byte of a request to the last of its answer. */
const REQUEST_MS = 5000
const CHECK_MS = 1000
const MAX_HEADER_BYTES = 8192

/**
 * The page with metrics and health. Nobody logs in there: it names no client, changes nothing, and takes little of
 * anything. It runs in the supervisor's loop, and asks no thread.
 */
export class MetricsServer {
  readonly #server: Server
  readonly #answers: ReadonlyMap<string, Answer>
  readonly #failed: (error: unknown) => void
  /** Browsers reach ports of this host for whatever page they show, under a name of its own. */
  readonly #checksHost: boolean
  /** The oldest first. */
  readonly #connections = new Set<Socket>()
  /** Those of them that wait for an answer. */
  readonly #asking = new WeakSet<Socket>()

  /** `tcp`: it listens on a port. `failed`: is told why something cannot be answered. */
  constructor(answers: ReadonlyMap<string, Answer>, tcp: boolean, failed: (error: unknown) => void) {
    this.#answers = answers
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
      send(response, 500, 'text/plain; charset=utf-8', 'internal failure\n')
    })
  }

  async #answer({ method, url = '', headers }: IncomingMessage, response: ServerResponse): Promise<void> {
    const refuse = (status: number, why: string): void => {
      response.setHeader('Connection', 'close')
      send(response, status, 'text/plain; charset=utf-8', `${why}\n`)
    }
    if (method !== 'GET') {
      response.setHeader('Allow', 'GET')
      return refuse(405, 'only GET')
    }
    if (this.#checksHost && !isOwnHost(headers.host)) return refuse(421, 'this host is not called so')
    const answer = this.#answers.get(url.split('?', 1)[0]!)
    if (answer === undefined) return refuse(404, `only ${[...this.#answers.keys()].join(', ')}`)
    const { status, contentType, body } = await answer(headers.accept ?? '')
    send(response, status, contentType, body)
  }
}

/** Whatever the port: it may be reached through a tunnel. */
function isOwnHost(host = ''): boolean {
  const [, name] = /^(\[[^\]]*\]|[^:]*)(?::\d*)?$/.exec(host) ?? []
  return isLoopback(name?.replace(/^\[|\]$/g, '').toLowerCase())
}

function send(response: ServerResponse, status: number, contentType: string, body: string): void {
  if (response.headersSent || response.destroyed) return
  response.writeHead(status, {
    'Content-Type': contentType, 'Content-Length': Buffer.byteLength(body), 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff'
  })
  response.end(body)
}
