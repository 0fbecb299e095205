import { truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { AuditLines, guestArguments, type AuditRecord } from '../support/audit-lines.js'
import { Cleanup } from '../support/cleanup.js'
import { DatagramReceiver } from '../support/datagram-receiver.js'
import { Fifo } from '../support/fifo.js'
import { residentMiB } from '../support/process-state.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const DESTROY = REMOTE.domainDestroy
const CALLS = 12_000
const ours = ({ api }: AuditRecord): boolean => api?.operation === 'DOMAIN_DESTROY'

interface Stalled {
  output: string
  /** Lets the sink take what comes. Resolves with the records that it has got. */
  relieve: () => () => Promise<AuditRecord[]>
  within?: string[]
}

describe('the audit, while nobody takes its records', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  /** As many calls as there are places for, until so many are answered. */
  async function flood(clients: readonly RawClient[], calls: number): Promise<void> {
    const each = Math.ceil(calls / clients.length / 5)
    const lane = async (client: RawClient): Promise<void> => {
      for (let i = 0; i < each; i++) expect((await client.call(DESTROY, guestArguments())).status).to.equal(STATUS.ok)
    }
    await Promise.all(clients.flatMap(client => Array.from({ length: 5 }, () => lane(client))))
  }

  const stalls: readonly (readonly [string, (dir: string) => Stalled])[] = [
    ['a socket that nobody reads', dir => {
      const receiver = new DatagramReceiver(join(dir, 'socket'))
      cleanup.defer(() => Promise.resolve(receiver.close()))
      const found: AuditRecord[] = []
      return {
        output: `unix:${dir}/socket`,
        relieve: () => () => {
          for (let next; (next = receiver.receive()) !== undefined;) found.push(JSON.parse(next) as AuditRecord)
          return Promise.resolve(found)
        }
      }
    }],
    ['a pipe that nobody reads', dir => {
      const fifo = new Fifo(cleanup, join(dir, 'pipe'))
      let text = ''
      return {
        output: `file:${fifo.path}`,
        relieve: () => () => {
          for (let more; (more = fifo.read()) !== '';) text += more
          return Promise.resolve(text.split('\n').slice(0, -1).map(line => JSON.parse(line) as AuditRecord))
        }
      }
    }],
    ['a disk that is full', dir => ({
      output: `file:${dir}/audit`,
      within: ['unshare', '--mount', 'sh', '-c', `mount -t tmpfs -o size=256k tmpfs ${dir} && exec "$@"`, 'sh'],
      relieve: () => () => Promise.resolve([])
    })]
  ]
  for (const [what, make] of stalls) {
    it(`keeps nobody waiting and little in memory before ${what}, and tells how many records were lost`, async () => {
      const dir = await tempDir(cleanup)
      const { output, within, relieve } = make(dir)
      const stage = await Stage.start(cleanup, { audit_output: output, log_level: 2 }, within === undefined ? {} : { within })
      const { broker } = stage
      const pid = broker.program.child.pid!
      const clients = (await Promise.all(Array.from({ length: 8 }, () => stage.open()))).map(({ client }) => client)
      await flood(clients, CALLS / 4)
      const before = residentMiB(pid)
      await flood(clients, CALLS)
      expect(residentMiB(pid) - before).to.be.below(48)
      await waitFor('the word', () => broker.program.stderr.includes('records of the audit cannot be written'))
      const disk = `/proc/${pid}/root${dir}/audit`
      // As logrotate does it with copytruncate.
      if (within !== undefined) await truncate(disk, 0)
      const found = within === undefined ? relieve() : () => new AuditLines(disk, { cut: true }).all()
      const lost = await waitFor('what was lost', async () => (await found()).find(({ class_uid }) => class_uid === 6008))
      expect(lost.count).to.be.within(1, 1.25 * CALLS + 64)
      await waitFor('the word', () => broker.program.stderr.includes('records of the audit are written again'))
      if (within !== undefined) return
      const accounted = async (): Promise<number> => {
        const all = await found()
        return all.filter(ours).length + all.filter(({ class_uid }) => class_uid === 6008).reduce((sum, { count }) => sum + count!, 0)
      }
      await waitFor('each call, or its loss', async () => await accounted() >= 1.25 * CALLS)
      expect(await accounted(), 'logins and opens may be among the lost').to.be.at.most(1.25 * CALLS + 64)
    })
  }
})
