import { expect } from 'chai'
import { Cleanup } from '../support/cleanup.js'
import { blocksOf, shown } from '../support/page.js'
import { TroubledHost } from '../support/troubled-host.js'
import { TROUBLES } from './troubles/all.js'

/** What virsh prints while a call is cut off comes from two of its threads, and may be mixed. */
const unmixed = (text: string): string => text.replaceAll('error: ', '').split('\n').filter(line => line !== '').sort().join('\n')

describe('docs/troubleshooting.md', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  const page = new Map<string, string>()
  let host: TroubledHost
  before(async () => {
    for (const { info, text } of await blocksOf('troubleshooting.md')) {
      const name = /^text trouble=(\S+)$/.exec(info)?.[1]
      if (name !== undefined) page.set(name, text)
    }
    host = await TroubledHost.start(cleanup)
  })
  after(() => cleanup.run())

  it('tells of the troubles that are produced here', () => {
    expect([...page.keys()]).to.have.members(Object.keys(TROUBLES))
  })

  for (const [name, produce] of Object.entries(TROUBLES)) {
    it(`has what is printed: ${name}`, async () => {
      const said = await produce(host)
      const text = page.get(name)!
      const [found, expected] = name.endsWith('-in-a-call') ? [unmixed(said), unmixed(text)] : [said, text]
      expect(found, `the page has:\n${text}\nwhat is printed:\n${said}\nthe log:\n${host.log.slice(-2000)}\n`).to.match(shown(expected))
    })
  }
})
