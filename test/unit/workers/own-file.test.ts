import { once } from 'node:events'
import { linkSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { expect } from 'chai'
import { fileId, removeIf, sameFile } from '#workers/os/own-file.js'

/** Of which the wrong way round loses about ten; as many of them as there is time for. */
const ROUNDS = 12_000
const MS = 20_000

describe('a file of our own', () => {
  let dir: string
  beforeEach(() => { dir = mkdtempSync(join(tmpdir(), 'vb-')) })
  afterEach(() => rmSync(dir, { recursive: true }))

  it('is known again by another name, and is not another of its name', () => {
    const [one, other] = [join(dir, 'one'), join(dir, 'other')]
    writeFileSync(one, '')
    const id = fileId(one)!
    linkSync(one, other)
    expect(sameFile(fileId(other), id)).to.equal(true)
    writeFileSync(join(dir, 'new'), '')
    renameSync(join(dir, 'new'), one)
    expect(sameFile(fileId(one), id)).to.equal(false)
    expect(fileId(join(dir, 'nothing'))).to.equal(undefined)
  })

  it('is removed, another in its place is not, and nothing else is left', () => {
    const path = join(dir, 'file')
    writeFileSync(path, '')
    const id = fileId(path)!
    linkSync(path, join(dir, 'kept'))
    expect(removeIf(path, id)).to.equal(true)
    expect(removeIf(path, id)).to.equal(false)
    writeFileSync(path, '')
    expect(removeIf(path, id)).to.equal(false)
    expect(readdirSync(dir)).to.deep.equal(['file', 'kept'])
  })

  it('is removed and not what takes its place at that moment', async () => {
    const path = join(dir, 'file')
    const turn = new Int32Array(new SharedArrayBuffer(8))
    const worker = new Worker(racer, { eval: true, workerData: { path, turn } })
    await once(worker, 'online')
    let lost = 0
    let met = 0
    let round = 0
    for (const end = performance.now() + MS; round < ROUNDS && performance.now() < end;) {
      round++
      writeFileSync(path, '')
      writeFileSync(`${path}.next`, '')
      const id = fileId(path)!
      const next = fileId(`${path}.next`)!
      Atomics.store(turn, 0, round)
      Atomics.notify(turn, 0)
      for (let i = 0; i < (round * 37) % 2000; i++) Math.sqrt(i)
      if (!removeIf(path, id)) met++
      while (Atomics.load(turn, 1) !== round) Atomics.wait(turn, 1, round - 1, 100)
      if (!sameFile(fileId(path), next)) lost++
    }
    await worker.terminate()
    expect(lost).to.equal(0)
    expect(met, 'rounds in which it came before').to.be.within(1, round - 1)
    expect(readdirSync(dir)).to.deep.equal(['file'])
  })
})

/** Puts another file into the place as soon as it is told to. */
const racer = `
  const { workerData: { path, turn } } = require('node:worker_threads')
  const { renameSync } = require('node:fs')
  for (let round = 1; ; round++) {
    while (Atomics.load(turn, 0) !== round) Atomics.wait(turn, 0, round - 1)
    for (let i = 0; i < (round * 53) % 2000; i++) Math.sqrt(i)
    renameSync(path + '.next', path)
    Atomics.store(turn, 1, round)
    Atomics.notify(turn, 1)
  }
`
