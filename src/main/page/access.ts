import { timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { digestOf } from '../config/metrics-token.js'
import { isOwnHost, NOT_OURS, text, type Answer, type Answered } from '../metrics/server.js'

/** How long whoever has tried a wrong token waits, and how many do at a time: so many tries a second are looked at. */
const WRONG_MS = 1000
const MOST_WRONG = 8

export interface AccessRules {
  /** Only the broker's own user can connect. */
  readonly own: boolean
  /** Digest of what lets in; undefined: nothing does, or nothing has to where only the own user connects. */
  readonly token: () => Uint8Array | undefined
  /** A wrong token has been tried. */
  readonly wrong: () => void
}

/** Who may see the page, which shows who the clients are. */
export class Access {
  readonly #rules: AccessRules
  #wrong = 0

  constructor(rules: AccessRules) {
    this.#rules = rules
  }

  /** False: for whoever asks, the page is not there. */
  get offered(): boolean {
    return this.#rules.own || this.#rules.token() !== undefined
  }

  /** Answers to whom may see it. */
  guarded(answer: Answer): Answer {
    return async asked => (await this.#refusal(asked.headers)) ?? answer(asked)
  }

  async #refusal(headers: IncomingHttpHeaders): Promise<Answered | undefined> {
    const { host, authorization, 'sec-fetch-site': site, 'sec-fetch-mode': mode } = headers
    // A tunnel to the socket ends at a port of somebody's desktop: pages in the browser there come under names of their own.
    if (!isOwnHost(host)) return text(421, NOT_OURS)
    if ((site === 'cross-site' || site === 'same-site') && mode !== 'navigate') return text(403, 'not for other pages')
    const wanted = this.#rules.token()
    if (wanted === undefined) return this.#rules.own ? undefined : text(404, 'there is nothing here')
    const given = tokenIn(authorization)
    if (given === undefined) return UNAUTHORIZED
    if (this.#wrong >= MOST_WRONG) return text(429, 'too many wrong tokens', { 'Retry-After': '1' })
    if (timingSafeEqual(digestOf(given), wanted)) return undefined
    this.#rules.wrong()
    this.#wrong++
    await pause(WRONG_MS, undefined, { ref: false })
    this.#wrong--
    return UNAUTHORIZED
  }
}

const UNAUTHORIZED = text(401, 'the token is wanted, as the password', { 'WWW-Authenticate': 'Basic realm="virtbroker"' })

/** The password of HTTP's Basic authentication; whoever the user is. A browser asks for it, and keeps it for this origin alone. */
function tokenIn(authorization = ''): string | undefined {
  const [, base64] = /^basic +([A-Za-z0-9+/]+=*)$/i.exec(authorization) ?? []
  const [, password] = /^[^:]*:(.*)$/s.exec(Buffer.from(base64 ?? '', 'base64').toString('latin1')) ?? []
  return password
}
