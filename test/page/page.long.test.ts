import { connect, createServer } from 'node:net'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import type { Page } from 'playwright-core'
import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { Cleanup } from '../support/cleanup.js'
import { Stage } from '../support/stage.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'
import { Browser, DESKTOP, TELEPHONE, type Watched } from './browser.js'
import { BusyHost } from './busy-host.js'

const CROWD = 5000
/** What would be more than text, if it were let. */
const ATTACK = '<img src=x onerror=alert(1)>'
const DN_ATTACK = '<script>alert(2)</script>'
/** As long as a table would not like it. */
const LONG = 'w'.repeat(200)
const GUEST_ATTACK = 'guest<svg/onload=alert(3)>\u202etxt'

describe('the live page in Chromium', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  after(() => cleanup.run())
  let host: BusyHost
  let browser: Browser
  let url: string
  let desktop: Watched

  before(async () => {
    host = await BusyHost.start(cleanup, ['nova', 'alice', ATTACK, LONG], { slow_call_ms: 100 })
    url = `http://127.0.0.1:${host.port}/`
    await host.crowd(CROWD)
    for (const [name, rest] of [['nova', 5], ['alice', 40], [ATTACK, 200], [LONG, 60]] as const) void host.call(await host.user(name), rest)
    void host.call(await host.host(DN_ATTACK), 60)
    void host.call(await host.host('compute-02.example'), 60)
    browser = await Browser.start(cleanup)
    desktop = await browser.look(url)
  })

  const text = (page: Page, selector: string): Promise<string> => page.locator(selector).innerText()
  const names = (page: Page): Promise<string[]> => page.locator('#client-table tbody th').allInnerTexts()
  const column = (page: Page, at: number): Promise<string[]> => page.locator(`#client-table tbody tr > :nth-child(${at})`).allInnerTexts()
  const CALLS = 6

  async function until(what: string, look: () => Promise<boolean>): Promise<void> {
    await waitFor(what, look, 60_000)
  }

  /** No part of the page is wider than its window. */
  const overflow = (page: Page): Promise<unknown> => page.evaluate(`
    [...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > innerWidth + 1 && one.className !== 'hidden')
      .map(one => one.outerHTML.slice(0, 80)).concat(document.documentElement.scrollWidth > innerWidth ? ['the page'] : [])`)

  it('shows all clients, and the busiest first', async () => {
    const { page } = desktop
    await until('calls a second', async () => Number(await text(page, '#tile-calls')) > 20)
    await until('all clients', async () => (await text(page, '#tile-clients')) === (CROWD + 6).toLocaleString('en'))
    expect(await text(page, '#matching')).to.equal(`${(CROWD + 6).toLocaleString('en')}; the first 20`)
    await until('the busiest client', async () => (await names(page))[0] === 'nova')
    const calls = (await column(page, CALLS)).map(Number)
    expect(calls).to.deep.equal([...calls].sort((one, other) => other - one))
    expect(await text(page, '#tile-p50')).to.match(/^\d[\d.]*\u202f(µs|ms)$/)
    expect(await text(page, '#drivers')).to.match(/qemu\s+there/)
    expect(await text(page, '#threads')).to.match(/supervisor/)
    expect(await text(page, '#certificates')).to.match(/CN=127\.0\.0\.1\s+server/)
    expect(await text(page, '#limits')).to.match(/clients\s+5,006\s+6,000/)
  })

  it('goes on by itself, and stops when it is told to', async () => {
    const { page } = desktop
    const readout = (): Promise<string> => text(page, '.history > .readout')
    const before = await readout()
    await until('another second', async () => (await readout()) !== before)
    await page.getByRole('button', { name: 'Pause' }).click()
    await page.getByRole('status').filter({ hasText: 'As of' }).waitFor()
    const asked = desktop.requests.length
    // What was under way has come by then; a page that goes on would have asked.
    await page.waitForTimeout(1500)
    expect(desktop.requests.length - asked).to.be.at.most(1)
    await page.getByRole('button', { name: 'Pause' }).click()
    await page.getByRole('status').filter({ hasText: 'Live' }).waitFor()
  })

  it('finds clients, and shows as many as are asked for', async () => {
    const { page } = desktop
    await page.getByLabel('Filter').fill('example')
    await until('those with the text', async () => (await text(page, '#matching')).startsWith('2 of'))
    expect((await names(page)).join()).to.contain('CN=compute-02.example')
    await page.getByLabel('Filter').fill('')
    await page.getByLabel('Rows').selectOption('200')
    await until('200 rows', async () => (await names(page)).length === 200)
    await page.getByLabel('Rows').selectOption('20')
    await until('20 rows', async () => (await names(page)).length === 20)
  })

  it('shows names as the text that they are', async () => {
    const { page } = desktop
    await page.getByLabel('Filter').fill('<')
    await until('the names', async () => (await names(page)).length === 2)
    // As libvirt writes names of certificates.
    expect(await names(page)).to.have.members([ATTACK, `O=Example,CN=${DN_ATTACK.replace(/[<>]/g, '\\$&')}`])
    const client = await host.user('alice')
    client.post(REMOTE.domainMigratePerform3Params, new XdrWriter().string(GUEST_ATTACK).finish())
    await until('the slow call', async () => (await text(page, '#slow')).includes(GUEST_ATTACK.replace('\u202e', '\ufffd')))
    expect(await page.locator('td img, td script, td svg, th img, th script').count()).to.equal(0)
    await page.getByLabel('Filter').fill('')
    await until('all clients', async () => (await names(page)).length === 20)
  })

  it('can be walked with the keyboard alone', async () => {
    const { page } = desktop
    await page.reload()
    await page.getByRole('status').filter({ hasText: 'Live' }).waitFor()
    const readout = (): Promise<string> => text(page, '.history > .readout')
    await until('the first second', async () => (await readout()).includes('calls a second'))
    const second = await readout()
    await until('another', async () => (await readout()) !== second)
    await page.keyboard.press('Tab')
    const seen: string[] = []
    for (let i = 0; i < 18; i++) {
      seen.push(await page.evaluate<string>('document.activeElement.id || document.activeElement.innerText'))
      expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle'), seen.at(-1)).to.equal('solid')
      if (seen.at(-1) === 'heat') {
        await page.keyboard.press('Home')
        const first = await readout()
        await page.keyboard.press('ArrowRight')
        expect(await readout()).not.to.equal(first)
        expect(await page.locator('#heat').getAttribute('aria-valuetext')).to.equal(await readout())
      }
      if (seen.at(-1) === 'Who') break
      await page.keyboard.press('Tab')
    }
    expect(seen).to.deep.equal(['To the clients', 'pause', 'heat', 'filter', 'rows', 'Who'])
    await page.keyboard.press('Enter')
    const head = (name: string) => page.locator('#client-table').getByRole('columnheader', { name })
    expect(await head('Who').getAttribute('aria-sort')).to.equal('ascending')
    await until('the order of names', async () => (await names(page))[0] === ATTACK)
    await page.keyboard.press('Space')
    expect(await head('Who').getAttribute('aria-sort')).to.equal('descending')
    await until('the other order', async () => (await names(page))[0] === LONG)
    // What has the focus keeps it while rows are changed under it.
    expect(await page.evaluate('document.activeElement.innerText')).to.equal('Who')
    expect(await head('Calls/s').getAttribute('aria-sort')).to.equal(null)
  })

  it('is dark where that is wished, with text that can be read in both', async () => {
    const { page } = desktop
    for (const colorScheme of ['dark', 'light'] as const) {
      await page.emulateMedia({ colorScheme })
      const weak = await page.evaluate(CONTRAST)
      expect(weak, colorScheme).to.deep.equal([])
    }
  })

  it('fits a telephone, with all that it has on a desk', async () => {
    const { page, complaints } = await browser.look(url, TELEPHONE)
    await until('figures', async () => Number(await text(page, '#tile-calls')) > 20 && (await names(page)).includes(LONG))
    expect(await overflow(page)).to.deep.equal([])
    expect(await text(page, '#client-table tbody tr:first-child')).to.match(/nova[^]*unix[^]*qemu:\/\/\/system[^]*serving/)
    await page.getByRole('button', { name: 'Address' }).click()
    expect(await page.getByRole('columnheader', { name: 'Address' }).getAttribute('aria-sort')).to.equal('ascending')
    await page.setViewportSize({ width: 320, height: 700 })
    expect(await overflow(page)).to.deep.equal([])
    await page.setViewportSize({ width: DESKTOP.width, height: DESKTOP.height })
    expect(await overflow(page)).to.deep.equal([])
    expect(complaints).to.deep.equal([])
    await page.close()
  })

  it('says when it is not up to date, and goes on when it can', async () => {
    const { page } = desktop
    await page.route('**/api/state*', route => route.abort())
    await page.getByRole('status').filter({ hasText: 'Not up to date' }).waitFor()
    await page.unroute('**/api/state*')
    await page.getByRole('status').filter({ hasText: 'Live' }).waitFor()
    // Chromium's own words of what was refused just now.
    const own = desktop.complaints.splice(0)
    expect(own.filter(text => !text.includes('net::ERR_FAILED'))).to.deep.equal([])
  })

  it('asks for nothing from elsewhere, and has nothing to complain of', () => {
    expect(desktop.requests.filter(asked => !asked.startsWith(url))).to.deep.equal([])
    expect(desktop.complaints).to.deep.equal([])
  })

  it('is no part of another page, and tells it nothing', async () => {
    const foreign = createServer(socket => {
      socket.on('error', () => undefined)
      const body = `<iframe src="${url}"></iframe><script src="${url}main.js"></script><script>
        fetch('${url}api/state', { mode: 'no-cors' }).then(r => document.title = r.type, e => document.title = 'failed')</script>`
      socket.end(`HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`)
    }).listen(0, '127.0.0.1')
    cleanup.defer(() => Promise.resolve(foreign.close()))
    await once(foreign, 'listening')
    const page = await desktop.page.context().newPage()
    await page.goto(`http://localhost:${(foreign.address() as AddressInfo).port}/`)
    await until('a refusal', async () => (await page.title()) === 'failed')
    const frame = page.frames().find(frame => frame !== page.mainFrame())
    expect(await frame?.locator('h1').count().catch(() => 0)).to.equal(0)
    await page.close()
  })

  it('is reached through a tunnel to the UNIX socket', async () => {
    const path = `${await tempDir(cleanup)}/metrics`
    await Stage.start(cleanup, { metrics_listen: `unix:${path}` })
    const tunnel = createServer(near => {
      const far = connect(path)
      near.on('error', () => far.destroy()).pipe(far).on('error', () => near.destroy()).pipe(near)
    }).listen(0, '127.0.0.1')
    cleanup.defer(() => Promise.resolve(tunnel.close()))
    await once(tunnel, 'listening')
    const { page, complaints } = await browser.look(`http://localhost:${(tunnel.address() as AddressInfo).port}/`)
    await until('clients', async () => Number(await text(page, '#tile-clients')) >= 0 && (await text(page, '#state')) === 'serving')
    expect(complaints).to.deep.equal([])
    await page.close()
  })
})

/** Elements with a text whose contrast is below 4.5 : 1 (WCAG 2, AA). */
const CONTRAST = `(() => {
  const light = colour => {
    const linear = v => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    const [r, g, b] = colour.match(/[\\d.]+/g).map(v => linear(v / 255))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const ground = one => {
    for (let at = one; at !== null; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor
      if (colour !== 'rgba(0, 0, 0, 0)') return colour
    }
  }
  const own = one => [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim() !== '')
  return [...document.querySelectorAll('body *')].filter(own).flatMap(one => {
    const [a, b] = [light(getComputedStyle(one).color), light(ground(one))]
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    return ratio < 4.5 ? [one.textContent.slice(0, 40) + ': ' + ratio.toFixed(2)] : []
  })
})()`
