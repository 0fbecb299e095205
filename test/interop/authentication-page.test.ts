import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { Cleanup } from '../support/cleanup.js'
import { Kdc } from '../support/kdc.js'
import { Page } from '../support/page.js'
import { PageHost } from '../support/page-host.js'

describe('docs/authentication.md', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  let page: Page
  after(() => cleanup.run())
  before(async () => {
    page = await Page.read('authentication.md')
  })

  it('leads from the file of Debian\'s package to virsh with a password, over TCP, TLS and UNIX', async () => {
    const host = await PageHost.start(cleanup)
    const tls = await Page.read('tls.md')
    await host.follow(tls, ['certtool-authority', 'certtool-server', 'certtool-client', 'install-server', 'install-client'])
    await host.follow(page, ['mechanisms', 'user', 'serve', 'authfile', 'tcp', 'tls', 'unix', 'refused'])
    expect(await log(host)).not.to.contain('not offered').and.not.to.contain('no password')
  })

  it('leads from the file of Debian\'s package to virsh with a ticket', async () => {
    const host = await PageHost.start(cleanup)
    const kdc = await Kdc.start(cleanup, argv => host.host.inside(argv))
    await kdc.addUser('fred', 'secret')
    Object.assign(host.env, kdc.env)
    await host.follow(page, ['keytab', 'serve-kerberos', 'ticket'], 'secret\n')
    expect(await log(host)).not.to.contain('not offered')
  })

  it('has no commands but those', () => {
    expect(page.untried).to.deep.equal([])
  })
})

const log = (host: PageHost): Promise<string> => readFile(join(host.host.dir, 'log/virtbrokerd.log'), 'utf8')
