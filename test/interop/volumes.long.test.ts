import { createHash, randomFillSync } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { expect } from 'chai'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { interactiveVirsh, runPython, virshOk } from '../support/clients.js'
import { Libvirtd } from '../support/libvirtd.js'
import { PrivateHost } from '../support/private-host.js'
import { mustRun } from '../support/processes.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const mebibyte = 1024 * 1024
const size = 256 * mebibyte

/** Writes `length` random bytes at `position` of a file. */
async function writeRandom(path: string, position: number, length: number): Promise<void> {
  const file = await open(path, 'a+').then(created => created.close()).then(() => open(path, 'r+'))
  const chunk = Buffer.alloc(mebibyte)
  for (let done = 0; done < length; done += chunk.length) {
    await file.write(randomFillSync(chunk), 0, Math.min(chunk.length, length - done), position + done)
  }
  await file.close()
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: mebibyte }), hash)
  return hash.digest('hex')
}

/** Bytes that the file takes on the disk. */
async function allocated(path: string): Promise<number> {
  return (await stat(path)).blocks * 512
}

describe('a storage volume of 256 MiB through the broker', function () {
  this.timeout(60000)
  const cleanup = new Cleanup()
  let dir: string
  let poolDir: string
  let uris: Record<'TCP' | 'UNIX', string>
  let daemon: Libvirtd

  /** How many connections the daemon has: its ends of them have the name of its socket, in the network of the others. */
  async function connections(): Promise<number> {
    const lines = (await readFile('/proc/net/unix', 'utf8')).split('\n')
    return lines.filter(line => line.includes(' 03 ') && line.endsWith(` ${daemon.socket}`)).length
  }

  before(async () => {
    const host = await PrivateHost.start(cleanup)
    daemon = await Libvirtd.start(host, cleanup, { drivers: ['storage'] })
    const broker = await Broker.start(cleanup, { driver_sockets: [`*=${daemon.socket}`] })
    uris = { TCP: broker.tcpUri('storage', '/system'), UNIX: broker.unixUri('storage', '/system') }
    dir = await tempDir(cleanup)
    poolDir = join(host.dir, 'pool')
    await mkdir(poolDir)
    await virshOk(uris.UNIX, `pool-create-as big dir --target ${poolDir}`)
    await writeRandom(join(dir, 'random'), 0, size)
  })

  after(() => cleanup.run())

  for (const route of ['TCP', 'UNIX'] as const) {
    it(`comes back as it was uploaded, over ${route}`, async () => {
      const uri = uris[route]
      await virshOk(uri, `vol-create-as big ${route}.img ${size}B --format raw --allocation 0`)
      await virshOk(uri, `vol-upload ${route}.img ${dir}/random --pool big`, { timeout: 60000 })
      await mustRun(['cmp', join(dir, 'random'), join(poolDir, `${route}.img`)])
      await virshOk(uri, `vol-download ${route}.img ${dir}/fetched --pool big`, { timeout: 60000 })
      await mustRun(['cmp', join(dir, 'random'), join(dir, 'fetched')])
    })

    it(`keeps its holes with --sparse, over ${route}`, async () => {
      const uri = uris[route]
      const original = join(dir, `sparse-${route}`)
      await writeRandom(original, 0, mebibyte)
      await writeRandom(original, 100 * mebibyte, 3 * mebibyte)
      await writeRandom(original, size - 4096, 4096)
      await virshOk(uri, `vol-create-as big sparse-${route}.img ${size}B --format raw --allocation 0`)
      await virshOk(uri, `vol-upload sparse-${route}.img ${original} --pool big --sparse`)
      const volume = join(poolDir, `sparse-${route}.img`)
      await mustRun(['cmp', original, volume])
      expect(await allocated(volume), 'holes of the volume').to.be.below(16 * mebibyte)
      await virshOk(uri, `vol-download sparse-${route}.img ${dir}/sparse-fetched-${route} --pool big --sparse`)
      const fetched = join(dir, `sparse-fetched-${route}`)
      await mustRun(['cmp', original, fetched])
      expect(await allocated(fetched), 'holes of the download').to.be.below(16 * mebibyte)
    })

    it(`is left half way by its reader, who goes on with the same connection over ${route}`, async () => {
      const half = size / 2
      const { status, stdout, stderr } = await runPython('abort_streams.py', [
        uris[route], 'big', `${route}.img`, String(half)
      ], { timeout: 60000 })
      expect(status, stderr).to.equal(0)
      const result = JSON.parse(stdout) as Record<string, unknown>
      expect(result['received_before_abort']).to.be.at.least(half).and.below(size)
      expect(result['sent_before_abort']).to.be.at.least(half)
      expect(result['capacity_after_download_abort']).to.equal(size)
      expect(result['capacity_after_upload_abort']).to.equal(size)
      expect(result['capacity_after_dropped_stream']).to.equal(size)
      expect(result['received_in_full']).to.equal(size)
      expect(result['sha256_in_full']).to.equal(await sha256(join(dir, 'random')))
      expect(result['volumes']).to.not.include('scratch.img')
    })
  }

  it('leaves no connection to the daemon behind', async () => {
    const stays = await interactiveVirsh(uris.UNIX)
    cleanup.defer(() => stays.stop())
    for (const transfer of ['vol-upload', 'vol-download', 'vol-upload']) {
      await virshOk(uris.UNIX, `${transfer} TCP.img ${dir}/fetched --pool big`, { timeout: 60000 })
    }
    await waitFor('all connections but one to end', async () => await connections() === 1)
  })
})
