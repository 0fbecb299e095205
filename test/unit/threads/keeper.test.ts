import { expect } from 'chai'
import { Keeper, LEGAL, type Kept, type KeeperState, type Run } from '#main/threads/keeper.js'
import { waitFor } from '../../support/waiting.js'

/** A run that does what the test says. */
class PlayedRun implements Run {
  readonly asked: string[] = []
  serve!: () => void
  refuse!: (why: string) => void
  die!: (why: string) => void
  readonly ready = new Promise<void>((resolve, reject) => {
    this.serve = resolve
    this.refuse = why => reject(new Error(why))
  })
  readonly ended = new Promise<string>(resolve => (this.die = resolve))

  constructor(readonly endsWhenAsked: boolean) {}

  end(): void {
    this.asked.push('end')
    if (this.endsWhenAsked) this.die('as it was told')
  }

  kill(): void {
    this.asked.push('kill')
  }
}

class Stage {
  readonly runs: PlayedRun[] = []
  readonly told: string[] = []
  readonly keeper: Keeper<PlayedRun>

  constructor({ pause = 1, endsWhenAsked = true } = {}) {
    const kept: Kept<PlayedRun> = {
      patience: 20,
      start: () => {
        const run = new PlayedRun(endsWhenAsked)
        this.runs.push(run)
        return run
      },
      pause: died => {
        this.told.push(died === undefined ? 'pause after a vain try' : 'pause')
        return pause
      },
      died: (run, why) => this.told.push(`run ${this.runs.indexOf(run)} died: ${why}`),
      failed: why => this.told.push(`failed: ${why}`),
      replaced: why => this.told.push(`replaced after: ${why}`)
    }
    this.keeper = new Keeper(kept)
  }

  get last(): PlayedRun {
    return this.runs.at(-1)!
  }

  get state(): KeeperState {
    return this.keeper.state
  }

  async is(state: KeeperState): Promise<void> {
    await waitFor(state, () => this.state === state)
  }

  async serving(): Promise<void> {
    const started = this.keeper.start()
    this.last.serve()
    await started
  }

  /** Brings it into a state. */
  async into(state: KeeperState): Promise<void> {
    if (state === 'idle') return
    if (state === 'starting') return void this.keeper.start().catch(() => undefined)
    await this.serving()
    if (state === 'serving') return
    if (state === 'stopping' || state === 'stopped') {
      const stopped = this.keeper.stop()
      return state === 'stopped' ? void (await stopped) : undefined
    }
    this.last.die('bad luck')
    await this.is(state)
  }
}

/** How it comes into a state that passes at once. */
const settings = (state: KeeperState): ConstructorParameters<typeof Stage>[0] => ({
  pause: state === 'pausing' ? 60_000 : 1,
  endsWhenAsked: state !== 'stopping'
})

const states = Object.keys(LEGAL) as KeeperState[]

describe('a keeper of a thread or process', () => {
  it('serves when its run does', async () => {
    const stage = new Stage()
    const started = stage.keeper.start()
    expect(stage.state).to.equal('starting')
    stage.last.serve()
    await started
    expect(stage.state).to.equal('serving')
    expect(stage.told).to.deep.equal([])
  })

  for (const [how, act, killed] of [
    ['dies first', (run: PlayedRun) => run.die('no library'), []],
    ['says that it cannot', (run: PlayedRun) => run.refuse('no library'), ['kill']]
  ] as const) {
    it(`says so when the first run ${how}, and may be started anew`, async () => {
      const stage = new Stage()
      const started = stage.keeper.start()
      act(stage.last)
      expect(await started.catch((error: Error) => error.message)).to.equal('no library')
      expect(stage.last.asked).to.deep.equal(killed)
      expect(stage.state).to.equal('idle')
      expect(stage.told).to.deep.equal([])
      await stage.serving()
      expect(stage.state).to.equal('serving')
    })
  }

  it('starts another when one dies, and tries again when that fails', async () => {
    const stage = new Stage()
    await stage.serving()
    stage.last.die('bad luck')
    await stage.is('restarting')
    expect(stage.told).to.deep.equal(['pause', 'run 0 died: bad luck'])
    stage.last.die('worse luck')
    await waitFor('the third', () => stage.runs.length === 3)
    stage.last.refuse('no luck')
    await waitFor('the fourth', () => stage.runs.length === 4)
    expect(stage.runs[2]!.asked).to.deep.equal(['kill'])
    stage.last.serve()
    await stage.is('serving')
    expect(stage.told.slice(2)).to.deep.equal([
      'pause after a vain try',
      'failed: worse luck',
      'pause after a vain try',
      'failed: no luck',
      'replaced after: no luck'
    ])
  })

  it('starts it before it tells of the death where there is no pause', async () => {
    const stage = new Stage({ pause: 0 })
    await stage.serving()
    stage.keeper.kept.died = () => stage.told.push(`died, and there are ${stage.runs.length}`)
    stage.last.die('bad luck')
    await stage.is('restarting')
    expect(stage.told).to.deep.equal(['pause', 'died, and there are 2'])
  })

  it('has a run that is ready with its start serve at once', () => {
    const stage = new Stage()
    const { kept } = stage.keeper
    const keeper = new Keeper({ ...kept, start: () => ({ ended: new Promise<string>(() => undefined), end() {}, kill() {} }) })
    void keeper.start()
    expect(keeper.state).to.equal('serving')
  })

  it('kills a run that does not end in time, and says so', async () => {
    const stage = new Stage({ endsWhenAsked: false })
    await stage.serving()
    expect(await stage.keeper.stop()).to.equal(false)
    expect(stage.last.asked).to.deep.equal(['end', 'kill'])
    expect(stage.state).to.equal('stopped')
    stage.last.die('at last')
    await Promise.resolve()
    expect(stage.told).to.deep.equal([])
  })

  for (const state of states) {
    it(`that is ${state} can be stopped`, async () => {
      const stage = new Stage(settings(state))
      await stage.into(state)
      expect(stage.state).to.equal(state)
      const { length } = stage.runs
      expect(await stage.keeper.stop()).to.equal(state !== 'stopping')
      expect(stage.state).to.equal('stopped')
      expect(stage.keeper.run).to.equal(undefined)
      // Nothing comes after.
      for (const run of stage.runs) {
        run.serve()
        run.die('late')
      }
      await new Promise(resolve => setImmediate(resolve))
      expect(stage.state).to.equal('stopped')
      expect(stage.runs).to.have.length(length)
    })

    if (state !== 'idle') {
      it(`that is ${state} cannot be started`, async () => {
        const stage = new Stage(settings(state))
        await stage.into(state)
        const { length } = stage.runs
        expect(await stage.keeper.start().catch((error: Error) => error.message)).to.match(/cannot become starting/)
        expect(stage.runs).to.have.length(length)
        await stage.keeper.stop()
      })
    }
  }
})
