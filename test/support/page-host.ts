import { appendFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cleanup } from './cleanup.js'
import { clientEnv } from './clients.js'
import type { Page } from './page.js'
import { privateEtc } from './private-etc.js'
import { PrivateHost } from './private-host.js'
import { run } from './processes.js'
import { waitFor } from './waiting.js'

const project = new URL('../../../', import.meta.url).pathname

/**
 * A host on which the steps of pages are followed as they stand there, by root, in the project's directory: with an /etc
 * and a home of its own, and known as host.example.
 */
export class PageHost {
  /** What the steps have in their environment beside the usual. */
  readonly env: NodeJS.ProcessEnv = {}

  private constructor(readonly host: PrivateHost, readonly home: string) {}

  static async start(cleanup: Cleanup): Promise<PageHost> {
    const host = await PrivateHost.start(cleanup)
    await host.exec(['sh', '-c', privateEtc(host.dir)])
    const page = new PageHost(host, join(host.dir, 'home'))
    await mkdir(page.home)
    await appendFile(page.path('hosts'), '127.0.0.1 host.example\n')
    return page
  }

  /** The path outside of a file in the host's /etc. */
  path(name: string): string {
    return join(this.host.dir, 'all-of-etc', name)
  }

  /** Runs steps of the page, one after the other. `input` is what somebody types. */
  async follow(page: Page, names: readonly string[], input = ''): Promise<void> {
    await page.follow(names, (commands, { fails }) => {
      const argv = this.host.inside(['bash', '-e', '-c', `cd "${project}"\n${commands}`])
      const env = { ...clientEnv, HOME: this.home, ...this.env }
      // What a step has asked for, such as a reload, may take its time until it has happened.
      return waitFor('a step to fail', async () => {
        const outcome = await run(argv, { env, input, timeout: 60_000 })
        return fails && outcome.status === 0 ? undefined : outcome
      })
    })
  }
}
