// What `npm run picture` runs: writes docs/page.png, which docs/metrics.md shows. With a directory all kinds of looks are
// written there instead.
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Cleanup } from '../support/cleanup.js'
import { Browser, DESKTOP, TELEPHONE } from './browser.js'
import { BusyHost } from './busy-host.js'

/** So many seconds are to be seen. */
const WATCHED_MS = 75_000
const USERS = ['nova', 'ceilometer', 'backup', 'alice', 'exporter']
const HOSTS = ['compute-02.example', 'compute-03.example', 'compute-07.example', 'compute-11.example']

const ALL_LOOKS = [DESKTOP, TELEPHONE].flatMap(looks => (['light', 'dark'] as const).map(colorScheme => ({ ...looks, colorScheme })))

const cleanup = new Cleanup()
try {
  const host = await BusyHost.start(cleanup, USERS)
  await host.crowd(1200)
  for (const [i, name] of [...USERS, 'nova', 'nova', 'nova'].entries()) void host.call(await host.user(name), 4 + 9 * i)
  void host.call(await host.user('nova', 'network:///system'), 90)
  void host.call(await host.user('backup', 'storage:///system'), 140)
  for (const [i, name] of HOSTS.entries()) void host.call(await host.host(name), 30 + 25 * i)
  const browser = await Browser.start(cleanup)
  const url = `http://127.0.0.1:${host.port}/`
  const directory = process.argv[2]
  const looks = directory === undefined
    ? [{ name: 'docs/page.png', looks: { ...DESKTOP, height: 1000 }, whole: false }]
    : ALL_LOOKS.map(looks => ({ name: join(directory, `${looks.width}-${looks.colorScheme}.png`), looks, whole: true }))
  const pages = await Promise.all(looks.map(async ({ looks }) => browser.look(url, looks)))
  await sleep(Number(process.env['WATCHED_MS'] ?? WATCHED_MS))
  for (const [i, { name, whole }] of looks.entries()) {
    await pages[i]!.page.screenshot({ path: name, fullPage: whole, animations: 'disabled' })
    console.log(`${name}: ${statSync(name).size} bytes`, pages[i]!.complaints)
  }
} finally {
  await cleanup.run()
}
