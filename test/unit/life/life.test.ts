import { expect } from 'chai'
import { Life, NEXT, type LifeEffects, type LifeRequest, type LifeState } from '#main/life/life.js'

const STATES = Object.keys(NEXT) as LifeState[]
const REQUESTS: readonly LifeRequest[] = ['reload', 'drain', 'resume', 'idle', 'stop']

/** Lets what was promised come about. */
const settle = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** A life whose effects are over when the test says so. */
class Stage implements LifeEffects {
  readonly done: string[] = []
  readonly #open = new Map<string, (error?: Error) => void>()
  readonly life = new Life(this)
  readonly started = this.life.start().then(() => 'served', (error: Error) => error.message)

  start(): Promise<void> {
    return this.#begin('start')
  }

  reload(): Promise<void> {
    return this.#begin('reload')
  }

  drain(): Promise<void> {
    return this.#begin('drain')
  }

  stop(): Promise<void> {
    return this.#begin('stop')
  }

  resume(): void {
    this.done.push('resume')
  }

  finish(): void {
    this.done.push('finish')
  }

  #begin(what: string): Promise<void> {
    this.done.push(what)
    return new Promise((resolve, reject) => this.#open.set(what, error => (error === undefined ? resolve() : reject(error))))
  }

  async over(what: string, error?: Error): Promise<void> {
    this.#open.get(what)!(error)
    await settle()
  }

  async into(state: LifeState): Promise<this> {
    if (state === 'starting') return this
    await this.over('start')
    if (state === 'reloading') this.life.request('reload')
    if (state === 'draining') this.life.request('drain')
    if (['finishing', 'stopping', 'stopped'].includes(state)) this.life.request('stop')
    if (['stopping', 'stopped'].includes(state)) await this.over('drain')
    if (state === 'stopped') await this.over('stop')
    expect(this.life.state).to.equal(state)
    return this
  }
}

/** What comes of a request in a state, by the picture: no effect, later, or the state that follows. */
const OUTCOMES: Record<LifeState, Record<LifeRequest, LifeState | 'later' | 'nothing'>> = {
  starting: { reload: 'later', drain: 'later', resume: 'nothing', idle: 'nothing', stop: 'later' },
  serving: { reload: 'reloading', drain: 'draining', resume: 'nothing', idle: 'finishing', stop: 'finishing' },
  reloading: { reload: 'later', drain: 'later', resume: 'nothing', idle: 'finishing', stop: 'finishing' },
  draining: { reload: 'later', drain: 'nothing', resume: 'serving', idle: 'nothing', stop: 'finishing' },
  // That there is no client is no second request.
  finishing: { reload: 'nothing', drain: 'nothing', resume: 'nothing', idle: 'nothing', stop: 'stopping' },
  stopping: { reload: 'nothing', drain: 'nothing', resume: 'nothing', idle: 'nothing', stop: 'nothing' },
  stopped: { reload: 'nothing', drain: 'nothing', resume: 'nothing', idle: 'nothing', stop: 'nothing' }
}

describe('the life of the broker', () => {
  for (const state of STATES) {
    for (const request of REQUESTS) {
      const outcome = OUTCOMES[state][request]
      it(`makes ${outcome === 'later' ? 'something later' : outcome} of ${request} while it is ${state}`, async () => {
        const { life, done } = await new Stage().into(state)
        const before = [...done]
        expect(life.request(request)).to.equal(outcome !== 'nothing')
        expect(life.state).to.equal(outcome === 'nothing' || outcome === 'later' ? state : outcome)
        if (outcome === 'nothing' || outcome === 'later') expect(done).to.deep.equal(before)
      })
    }
  }

  it('goes from the start to the end in order, each effect once', async () => {
    const stage = await new Stage().into('stopped')
    expect(stage.done).to.deep.equal(['start', 'drain', 'finish', 'stop'])
    expect(await stage.started).to.equal('served')
    await stage.life.stopped
  })

  it('puts away what there is when it cannot start, and then says why', async () => {
    const stage = new Stage()
    stage.life.request('reload')
    await stage.over('start', new Error('no room'))
    expect(stage.life.state).to.equal('stopping')
    await stage.over('stop')
    expect(await stage.started).to.equal('no room')
    expect(stage.done).to.deep.equal(['start', 'stop'])
  })

  it('stops as soon as it serves if it was told so while it started, whatever else it was told', async () => {
    const stage = new Stage()
    for (const request of ['drain', 'reload', 'stop'] as const) stage.life.request(request)
    await stage.over('start')
    expect(stage.life.state).to.equal('finishing')
    expect(stage.done).to.deep.equal(['start', 'drain', 'finish'])
  })

  it('reloads once more for all that ask while it reloads', async () => {
    const stage = await new Stage().into('reloading')
    for (let i = 0; i < 3; i++) stage.life.request('reload')
    await stage.over('reload')
    expect(stage.life.state).to.equal('reloading')
    await stage.over('reload')
    expect(stage.life.state).to.equal('serving')
    expect(stage.done).to.deep.equal(['start', 'reload', 'reload'])
  })

  it('does not come back to serve when a reload ends after the stop has begun', async () => {
    const stage = await new Stage().into('reloading')
    stage.life.request('stop')
    await stage.over('reload')
    expect(stage.life.state).to.equal('finishing')
  })

  it('takes clients again when its draining is undone, and reloads then if it was asked to', async () => {
    const stage = await new Stage().into('draining')
    stage.life.request('reload')
    await stage.over('drain')
    expect(stage.life.state).to.equal('draining')
    stage.life.request('resume')
    expect(stage.life.state).to.equal('reloading')
    expect(stage.done).to.deep.equal(['start', 'drain', 'resume', 'reload'])
  })

  it('does not drain later what is to go on', async () => {
    const stage = await new Stage().into('reloading')
    stage.life.request('drain')
    expect(stage.life.request('resume')).to.equal(true)
    await stage.over('reload')
    expect(stage.life.state).to.equal('serving')
    expect(stage.done).to.deep.equal(['start', 'reload'])
  })

  it('does not drain anew for a stop what is drained', async () => {
    const stage = await new Stage().into('draining')
    await stage.over('drain')
    stage.life.request('stop')
    await settle()
    expect(stage.life.state).to.equal('stopping')
    expect(stage.done).to.deep.equal(['start', 'drain', 'finish', 'stop'])
  })

  it('stops at once when it is asked a second time, and not again when the draining ends', async () => {
    const stage = await new Stage().into('finishing')
    stage.life.request('stop')
    expect(stage.life.state).to.equal('stopping')
    await stage.over('drain')
    await stage.over('stop')
    expect(stage.life.state).to.equal('stopped')
    expect(stage.done).to.deep.equal(['start', 'drain', 'finish', 'stop'])
  })
})
