import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { Cleanup } from '../support/cleanup.js'
import { Page } from '../support/page.js'
import { PageHost } from '../support/page-host.js'
import { waitFor } from '../support/waiting.js'

describe('docs/tls.md', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  let page: Page
  after(() => cleanup.run())
  before(async () => {
    page = await Page.read('tls.md')
  })

  for (const tool of ['certtool', 'openssl']) {
    it(`leads from nothing to virsh over TLS with ${tool}, and to a client that is refused`, async () => {
      const host = await PageHost.start(cleanup)
      await host.follow(page, [
        `${tool}-authority`, `${tool}-server`, `${tool}-client`, 'install-server', 'install-client', 'serve', 'list', 'name',
        `${tool}-revoke`, 'install-list', 'list-revoked'
      ])
      await waitFor('the reason in the log', async () =>
        /revoked.*O=Example,CN=fred/.test(await readFile(join(host.host.dir, 'log/virtbrokerd.log'), 'utf8')))
    })
  }

  it('has no commands but those', () => {
    expect(page.untried).to.deep.equal([])
  })
})
