import { expect } from 'chai'
import { SettingsInUse, type SettingsUsers } from '#main/life/settings-in-use.js'
import type { BrokerSettings } from '#main/life/settings.js'
import type { NetworkChange } from '#main/listen/network.js'
import type { Logger } from '#main/log/logger.js'

/** Without TLS and SASL. */
const settings = (backlog: number): BrokerSettings =>
  ({ backlog, log: {}, listening: { listeners: new Set() }, tls: undefined, actor: {} }) as unknown as BrokerSettings

describe('settings in use', () => {
  let done: string[]
  /** The step that fails. */
  let fails: string
  let inUse: SettingsInUse

  const step = (what: string): void => {
    done.push(what)
    if (what === fails) throw new Error(`${what} failed`)
  }

  beforeEach(() => {
    [done, fails] = [[], '']
    const change = { added: ['added'], removed: ['removed'], undo: () => step('undo') } as unknown as NetworkChange
    const users: SettingsUsers = {
      logger: { use: () => step('log'), lowestLevel: 1 } as unknown as Logger,
      listeners: {
        change: () => (step('take'), change),
        close: listeners => step(`close ${listeners.length}`),
        open: opened => step(`open ${opened.length}`),
        setBacklog: () => step('backlog')
      },
      useLimits: ({ backlog }) => step(`limits ${backlog}`),
      useInThreads: () => Promise.resolve().then(() => step('threads')),
      prepareAudit: () => Promise.resolve({ use: () => step('audit'), drop: () => step('drop audit') }),
      useSasl: () => step('sasl')
    }
    inUse = new SettingsInUse(settings(1), undefined, users)
  })

  const failure = (work: Promise<void>): Promise<string> => work.then(() => 'none', ({ message }: Error) => message)

  it('are replaced when all is prepared, and new sockets are used when the threads know', async () => {
    await inUse.apply(settings(2), [])
    expect(done).to.deep.equal(['take', 'log', 'audit', 'close 1', 'backlog', 'limits 2', 'threads', 'open 1'])
    expect(inUse.settings.backlog).to.equal(2)
  })

  it('stay when something cannot be had, and what was taken is given back', async () => {
    fails = 'log'
    expect(await failure(inUse.apply(settings(2), []))).to.equal('log failed')
    expect(done).to.deep.equal(['take', 'log', 'undo', 'drop audit'])
    expect(inUse.settings.backlog).to.equal(1)
  })

  for (const what of ['close 1', 'backlog', 'limits 2', 'threads']) {
    it(`leave no socket that nobody accepts from or closes, should an unexpected failure come (${what})`, async () => {
      fails = what
      expect(await failure(inUse.apply(settings(2), []))).to.equal(`${what} failed`)
      expect(done.at(-1)).to.equal('open 1')
    })
  }

  it('are replaced one after the other, each by what the one before has left', async () => {
    const first = inUse.adjust(now => ({ ...now, backlog: now.backlog + 1 }))
    await Promise.all([first, inUse.adjust(now => ({ ...now, backlog: now.backlog + 1 }))])
    expect(done).to.deep.equal(['log', 'limits 2', 'threads', 'log', 'limits 3', 'threads'])
  })
})
