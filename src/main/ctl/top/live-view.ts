import type { AdminLink } from '../admin-link.js'
import { reasonOfFailure } from '../reason.js'
import { interval, ratesOf, takeSample, type Rates, type Sample } from './sample.js'
import { Screen } from './screen.js'
import { nextOrder, view, type Seen } from './view.js'

const UP = '\x1b[A'
const DOWN = '\x1b[B'
const PAGE_UP = '\x1b[5~'
const PAGE_DOWN = '\x1b[6~'
const PAGE = 10
const INTERRUPT = '\x03'

/** Shows samples until somebody has seen enough, or `rounds` of them. Rejects if there is none at all. */
export async function liveView(link: AdminLink, ms: number, rounds: number): Promise<void> {
  let sample: Sample = await takeSample(link)
  let rates: Rates | undefined
  let seen: Seen = { sort: 'calls', reverse: false, skipped: 0, paused: false, trouble: undefined }
  const over = new AbortController()

  const draw = (): void => screen.draw(view(sample, rates, seen, screen.rows))
  const scroll = (lines: number): number => Math.max(0, Math.min(seen.skipped + lines, sample.clients.length - 1))
  const keys: Readonly<Record<string, () => Partial<Seen>>> = {
    s: () => ({ sort: nextOrder(seen.sort), skipped: 0 }),
    r: () => ({ reverse: !seen.reverse, skipped: 0 }),
    ' ': () => ({ paused: !seen.paused }),
    [UP]: () => ({ skipped: scroll(-1) }),
    [DOWN]: () => ({ skipped: scroll(1) }),
    [PAGE_UP]: () => ({ skipped: scroll(-PAGE) }),
    [PAGE_DOWN]: () => ({ skipped: scroll(PAGE) })
  }
  const pressed = (key: string): void => {
    if (key === 'q' || key === INTERRUPT) return over.abort()
    seen = { ...seen, ...keys[key]?.() }
    draw()
  }
  const screen = new Screen(process.stdin, process.stdout, pressed, draw)
  try {
    draw()
    for (let round = 1; round < rounds && !over.signal.aborted; round++) {
      await interval(ms, over.signal)
      if (seen.paused || over.signal.aborted) continue
      try {
        const next = await takeSample(link)
        rates = ratesOf(next, sample)
        sample = next
        seen = { ...seen, trouble: undefined }
      } catch (error) {
        seen = { ...seen, trouble: reasonOfFailure(error) }
      }
      draw()
    }
  } finally {
    screen.leave()
  }
}
