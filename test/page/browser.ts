import { chromium, type BrowserContext, type Page } from 'playwright-core'
import type { Cleanup } from '../support/cleanup.js'
import { TOKEN } from './busy-host.js'

/** What a page looks like to its reader. */
export interface Looks {
  readonly width: number
  readonly height: number
  readonly colorScheme: 'light' | 'dark'
}

export const DESKTOP: Looks = { width: 1280, height: 900, colorScheme: 'light' }
export const TELEPHONE: Looks = { width: 375, height: 812, colorScheme: 'light' }

/** A page, with all that its browser has to complain of, and all that it has asked for. */
export interface Watched {
  readonly page: Page
  readonly complaints: string[]
  readonly requests: string[]
}

/** Debian's Chromium, without a window. */
export class Browser {
  private constructor(readonly cleanup: Cleanup, readonly open: (looks: Looks) => Promise<BrowserContext>) {}

  static async start(cleanup: Cleanup): Promise<Browser> {
    const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--disable-background-networking'] })
    cleanup.defer(() => browser.close())
    return new Browser(cleanup, ({ width, height, colorScheme }) =>
      browser.newContext({ viewport: { width, height }, colorScheme, httpCredentials: { username: 'operator', password: TOKEN } }))
  }

  async look(url: string, looks = DESKTOP): Promise<Watched> {
    const context = await this.open(looks)
    const page = await context.newPage()
    const watched: Watched = { page, complaints: [], requests: [] }
    page.on('console', message => void watched.complaints.push(`${message.type()}: ${message.text()}`))
    page.on('pageerror', error => void watched.complaints.push(String(error)))
    page.on('request', request => void watched.requests.push(request.url()))
    page.on('dialog', dialog => void watched.complaints.push(`dialog: ${dialog.message()}`))
    await page.goto(url)
    await page.getByRole('status').filter({ hasText: 'Live' }).waitFor()
    return watched
  }
}
