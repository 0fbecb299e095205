import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { expect } from 'chai'
import { AccountNames } from '#workers/names/account-names.js'
import type { NameAnswer, NameQuestion } from '#workers/names/messages.js'

describe('names of accounts, as a thread knows them', () => {
  const clock = { now: 0 }
  let port: MessagePort
  let names: AccountNames
  let asked: NameQuestion[]
  let marks = 0

  beforeEach(() => {
    const { port1, port2 } = new MessageChannel()
    port = port1
    asked = []
    port.on('message', (question: NameQuestion) => asked.push(question))
    clock.now = 0
    names = new AccountNames(port2, clock, { user: 'root', group: 'wheel' })
  })
  afterEach(() => names.close())

  /** Messages of one port come in their order: behind the last one, all have come. */
  async function behind(from: MessagePort, to: MessagePort): Promise<void> {
    const last = { kind: 'user', id: --marks } as const
    const come = new Promise<void>(resolve => {
      const look = ({ id }: NameQuestion): void => {
        if (id !== last.id) return
        to.off('message', look)
        resolve()
      }
      to.on('message', look)
    })
    from.postMessage(last)
    await come
  }

  async function answer(given: NameAnswer): Promise<void> {
    port.postMessage(given)
    await behind(port, names.port)
  }

  async function settled(): Promise<void> {
    await behind(names.port, port)
    asked = asked.filter(({ id }) => id >= 0)
  }

  const user = (id: number): NameQuestion => ({ kind: 'user', id })

  it('are those of the ids 0 from the start', async () => {
    expect(names.find('user', 0)).to.deep.equal({ name: 'root' })
    expect(names.find('group', 0)).to.deep.equal({ name: 'wheel' })
    clock.now = 1e9
    expect(names.find('user', 0)).to.deep.equal({ name: 'root' })
    await settled()
    expect(asked).to.be.empty
  })

  it('are asked for once, however many want them', async () => {
    expect(names.find('user', 5)).to.equal(undefined)
    const wanted = [names.get('user', 5), names.get('user', 5), names.get('group', 5)]
    await answer({ ...user(5), name: 'eve' })
    await answer({ kind: 'group', id: 5, name: 'people' })
    expect(await Promise.all(wanted)).to.deep.equal(['eve', 'eve', 'people'])
    await settled()
    expect(asked).to.deep.equal([user(5), { kind: 'group', id: 5 }])
    expect(names.find('user', 5)).to.include({ name: 'eve' })
  })

  it('are used while they are looked up anew, but not for ever', async () => {
    void names.get('user', 5)
    await answer({ ...user(5), name: 'eve' })
    clock.now = 59_900
    expect(names.find('user', 5)).to.include({ name: 'eve' })
    await settled()
    expect(asked).to.have.length(1)
    clock.now = 61_000
    for (let times = 0; times < 3; times++) expect(names.find('user', 5)).to.include({ name: 'eve' })
    await settled()
    expect(asked).to.have.length(2)
    await answer({ ...user(5), name: 'adam' })
    expect(names.find('user', 5)).to.include({ name: 'adam' })
    clock.now += 600_000
    expect(names.find('user', 5)).to.equal(undefined)
  })

  it('that are gone are gone', async () => {
    void names.get('user', 5)
    await answer({ ...user(5), name: 'eve' })
    clock.now = 61_000
    expect(names.find('user', 5)).to.include({ name: 'eve' })
    await answer(user(5))
    expect(names.find('user', 5)).to.deep.equal({ name: undefined })
  })

  it('that nobody can tell now are what they were', async () => {
    void names.get('user', 5)
    await answer({ ...user(5), name: 'eve' })
    clock.now = 61_000
    names.find('user', 5)
    await answer({ ...user(5), failed: true })
    expect(names.find('user', 5)).to.include({ name: 'eve' })
    await settled()
    expect(asked, 'not again at once').to.have.length(2)
    clock.now += 11_000
    names.find('user', 5)
    await settled()
    expect(asked).to.have.length(3)
  })

  it('that do not exist are not asked for again at once', async () => {
    const wanted = names.get('user', 6)
    await answer(user(6))
    expect(await wanted).to.equal(undefined)
    clock.now = 9900
    expect(names.find('user', 6)).to.deep.equal({ name: undefined })
    clock.now = 10_100
    expect(names.find('user', 6)).to.equal(undefined)
  })

  it('are not pushed out by ids without any', async () => {
    void names.get('user', 5)
    await answer({ ...user(5), name: 'eve' })
    for (let id = 100_000; id < 110_000; id++) port.postMessage(user(id))
    await answer(user(6))
    expect(names.find('user', 5)).to.include({ name: 'eve' })
    expect(names.find('user', 109_999)).to.deep.equal({ name: undefined })
    expect(names.find('user', 100_000), 'the oldest').to.equal(undefined)
  })
})
