import { expect } from 'chai'
import { GuestPort } from '#workers/driver/guest-port.js'
import { Random } from '../support/random.js'
import { RandomCourse, type CourseReport } from '../support/random-course.js'

const COURSES = Number(process.env.VIRTBROKER_TEST_COURSES ?? 60)
const FIRST = Number(process.env.VIRTBROKER_TEST_SEED ?? 1)
const TURNS = 300

async function course(seed: number): Promise<CourseReport> {
  try {
    return await new RandomCourse(new Random(seed)).run(TURNS)
  } catch (error) {
    throw new Error(`VIRTBROKER_TEST_SEED=${seed} VIRTBROKER_TEST_COURSES=1: ${(error as Error).message}`, { cause: error })
  }
}

describe('whatever happens to sessions, their daemon and the connections to it, in whatever order', () => {
  it('each call is answered once, who has registered hears once, and no connection is left that nobody uses', async () => {
    const sum = { answers: 0, reconnections: 0, promotions: 0, joined: 0 }
    for (let seed = FIRST; seed < FIRST + COURSES; seed++) {
      const report = await course(seed)
      for (const what of Object.keys(sum) as (keyof CourseReport)[]) sum[what] += report[what]
    }
    if (COURSES < 10) return
    expect(sum.answers).to.be.above(50 * COURSES)
    expect(Math.min(sum.reconnections, sum.promotions)).to.be.above(COURSES)
    expect(sum.joined).to.be.above(0)
  })

  it('would not be, and that be found, if clients that wait for room were not told of it', async () => {
    const judged: unknown = Reflect.get(GuestPort.prototype, 'judged')
    GuestPort.prototype.judged = () => undefined
    try {
      for (let seed = FIRST; seed < FIRST + COURSES; seed++) await course(seed)
      expect.fail('nothing was found')
    } catch (error) {
      expect((error as Error).message).to.match(/waited in vain/)
    } finally {
      Object.assign(GuestPort.prototype, { judged })
    }
  })
})
