import { execFileSync } from 'node:child_process'
import { closeSync } from 'node:fs'
import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { DatagramSink } from '#main/audit/datagram-sink.js'
import { FileSink } from '#main/audit/file-sink.js'
import { auditEntry, AUDIT_MESSAGE_IDS } from '#main/audit/journal-entry.js'
import { StartupError } from '#main/config/startup-error.js'
import { Cleanup } from '../../support/cleanup.js'
import { DatagramReceiver } from '../../support/datagram-receiver.js'
import { Fifo } from '../../support/fifo.js'
import { descriptorsOf } from '../../support/process-state.js'
import { tempDir } from '../../support/temp-dir.js'
import { waitFor } from '../../support/waiting.js'

describe('sinks of the audit', () => {
  const cleanup = new Cleanup()
  let dir: string
  beforeEach(async () => void (dir = await tempDir(cleanup)))
  afterEach(() => cleanup.run())

  async function fileSink(path: string): Promise<FileSink> {
    const sink = await FileSink.open(path)
    cleanup.defer(() => Promise.resolve(sink.close()))
    return sink
  }

  it('are files that only the owner reads, and that only grow', async () => {
    const path = join(dir, 'audit')
    await writeFile(path, 'before\n', { mode: 0o640 })
    const sink = await fileSink(path)
    expect(await sink.write(['1', '2'])).to.deep.equal({ lines: 2 })
    expect(await readFile(path, 'utf8')).to.equal('before\n1\n2\n')
    const fresh = await fileSink(join(dir, 'fresh'))
    await fresh.write(['1'])
    expect((await stat(join(dir, 'fresh'))).mode & 0o777).to.equal(0o600)
  })

  it('are opened anew when they were renamed, and stay where that fails', async () => {
    const path = join(dir, 'audit')
    const sink = await fileSink(path)
    await sink.write(['1'])
    await rename(path, `${path}.1`)
    await sink.write(['2'])
    expect(await sink.reopen()).to.equal(undefined)
    await sink.write(['3'])
    expect(await readFile(`${path}.1`, 'utf8')).to.equal('1\n2\n')
    expect(await readFile(path, 'utf8')).to.equal('3\n')
    const lost = await fileSink(join(dir, 'here/audit').replace('/here', ''))
    await rename(dir, `${dir}-gone`)
    cleanup.defer(() => rename(`${dir}-gone`, dir))
    expect(await lost.reopen()).to.match(/^failed to open .*No such file or directory/)
    expect(await lost.write(['4'])).to.deep.equal({ lines: 1 })
  })

  it('are closed though they were about to be opened anew', async () => {
    const path = join(dir, 'audit')
    const sink = await fileSink(path)
    const reopened = sink.reopen()
    await sink.close()
    expect(await reopened).to.equal(undefined)
    await waitFor('the end of both', () => descriptorsOf(path).length === 0)
  })

  it('say that a file could not be closed in order', async () => {
    const path = join(dir, 'audit')
    const sink = await fileSink(path)
    const troubles: string[] = []
    sink.troubled = why => troubles.push(why)
    // The sink's own close fails now, as on a disk that could not keep all.
    for (const fd of descriptorsOf(path)) closeSync(fd)
    await sink.close()
    expect(troubles).to.deep.equal([`failed to close ${path}: Bad file descriptor`])
  })

  it('say why a disk does not take them', async () => {
    const sink = await fileSink('/dev/full')
    expect(await sink.write(['1'])).to.deep.equal({ lines: 0, error: 'No space left on device' })
  })

  it('are refused at the start where they cannot be opened', async () => {
    execFileSync('mkfifo', [join(dir, 'fifo')])
    for (const path of ['none/audit', 'fifo']) {
      const failure: unknown = await FileSink.open(join(dir, path)).catch((error: unknown) => error)
      expect(failure).to.be.instanceOf(StartupError).and.to.have.property('message').that.contains('audit_output: failed to open')
    }
  })

  it('finish the line of which only a part was taken, and leave no half of one behind in another file', async () => {
    const fifo = new Fifo(cleanup, join(dir, 'fifo'))
    const sink = await fileSink(fifo.path)
    // A pipe takes what fits, if it is more than a page.
    const lines = Array.from({ length: 100 }, (_, i) => `${i}-`.padEnd(3000, 'x'))
    let done = 0
    let all = ''
    const pump = async (): Promise<number> => {
      const { lines: more } = await sink.write(lines.slice(done))
      done += more
      return more
    }
    while (await pump() > 0);
    expect(done).to.be.within(1, 99)
    expect(await sink.write(lines.slice(done)), 'it is full').to.deep.equal({ lines: 0 })
    for (; done < lines.length;) {
      all += fifo.read()
      await pump()
    }
    all += fifo.read()
    expect(all).to.equal(lines.map(line => `${line}\n`).join(''))
  })

  it('are sockets that take a datagram for each record, also when their owner was restarted', async () => {
    const path = join(dir, 'socket')
    const sink = new DatagramSink(path, line => Buffer.from(line))
    cleanup.defer(() => Promise.resolve(sink.close()))
    expect(await sink.write(['0'])).to.deep.equal({ lines: 0, error: 'No such file or directory' })
    const receiver = new DatagramReceiver(path)
    expect(await sink.write(['1', '2'])).to.deep.equal({ lines: 2 })
    expect([receiver.receive(), receiver.receive(), receiver.receive()]).to.deep.equal(['1', '2', undefined])
    receiver.close()
    expect(await sink.write(['3'])).to.have.property('error')
    const next = new DatagramReceiver(path)
    cleanup.defer(() => Promise.resolve(next.close()))
    expect(await sink.write(['4'])).to.deep.equal({ lines: 1 })
    expect(next.receive()).to.equal('4')
  })

  it('take as much as fits where nobody reads, without waiting', async () => {
    const path = join(dir, 'socket')
    const receiver = new DatagramReceiver(path)
    cleanup.defer(() => Promise.resolve(receiver.close()))
    const sink = new DatagramSink(path, line => Buffer.from(line))
    cleanup.defer(() => Promise.resolve(sink.close()))
    const lines = Array.from({ length: 64 }, () => 'x'.repeat(4000))
    await waitFor('a full socket', async () => (await sink.write(lines)).lines === 0)
    receiver.receive()
    await waitFor('room', async () => (await sink.write(lines)).lines > 0)
    // Another receiver in its place, while the old socket is still there, full.
    await waitFor('a full socket', async () => (await sink.write(lines)).lines === 0)
    await rename(path, `${path}.old`)
    const next = new DatagramReceiver(path)
    cleanup.defer(() => Promise.resolve(next.close()))
    await waitFor('the next one', async () => (await sink.write(['next'])).lines > 0)
    expect(next.receive()).to.equal('next')
  })

  it('have what can be searched for in fields of the journal', () => {
    const record = {
      time: 1, class_uid: 6003, activity_id: 3, metadata: { correlation_uid: 'R-5' }, status_id: 2, status_code: '55',
      actor: { user: { name: 'root', uid: '0' }, process: { pid: 12 } }, src_endpoint: { name: 'unix' },
      api: { operation: 'DOMAIN_DESTROY', service: { name: 'qemu' } }, resources: [{ type: 'domain', name: 'a\nb', uid: 'U' }]
    }
    const entry = auditEntry(JSON.stringify(record)).toString('latin1')
    for (const field of [
      `MESSAGE_ID=${AUDIT_MESSAGE_IDS[6003]}`, 'PRIORITY=4', 'VIRTBROKER_CLIENT=R-5', 'VIRTBROKER_USER=root', 'VIRTBROKER_UID=0',
      'VIRTBROKER_PID=12', 'VIRTBROKER_OPERATION=DOMAIN_DESTROY', 'VIRTBROKER_DRIVER=qemu', 'VIRTBROKER_OBJECT_UID=U',
      'VIRTBROKER_STATUS=55', `VIRTBROKER_AUDIT=${JSON.stringify(record)}`
    ]) expect(entry).to.contain(`\n${field}\n`)
    expect(entry).to.match(/DOMAIN_DESTROY of domain a\nb \(U\) by root/)
    // A line feed in a name begins no field.
    expect(entry).to.contain('VIRTBROKER_OBJECT\n\x03\0\0\0\0\0\0\0a\nb\n')
    expect(entry).to.match(/^MESSAGE(=|\n)/)
  })
})
