import { expect } from 'chai'

interface Step {
  calls: number
  notOk: number
  refused: number
  seconds: number
}

interface Histories {
  History: new (most: number) => { add: (state: unknown) => void; steps: Step[]; now?: Step }
  quantile: (durations: number[], bounds: number[], share: number) => number | undefined
}

type Formats = Record<'count' | 'rate' | 'duration' | 'bytes' | 'percent', (value: number) => string> &
  { printable: (text: string) => string }

/** They are the browser's: no build makes them. */
const part = async <Module>(name: string): Promise<Module> =>
  (await import(new URL(`../../../../packaging/page/${name}.js`, import.meta.url).href)) as Module

describe('what the page makes of what it is told', () => {
  const state = (clock: number, ok: number, more: { pid?: number; error?: number; refused?: number } = {}) => ({
    clock, now: 1e12 + clock, broker: { pid: more.pid ?? 1, since: 5 }, calls: { ok, error: more.error ?? 0, refused: 0, lost: 0 },
    refusals: { auth: more.refused ?? 0, tls: 1 }, drivers: [{ durations: [ok, 0] }, { durations: [0, 1] }]
  })

  it('is rates between two answers, whatever the time between', async () => {
    const { History } = await part<Histories>('figures')
    const history = new History(3)
    history.add(state(0, 100))
    expect([history.steps, history.now]).to.deep.equal([[], undefined])
    history.add(state(2000, 300, { error: 20, refused: 3 }))
    expect(history.steps).to.deep.equal([
      { at: 1e12 + 2000, seconds: 2, calls: 110, notOk: 10, refused: 3, durations: [200, 0] }
    ])
    for (let second = 3; second < 30; second++) history.add(state(1000 * second, 300))
    expect(history.steps).to.have.length(3)
    expect(history.now).to.include({ seconds: 10, calls: 0 })
  })

  it('begins anew with another process', async () => {
    const { History } = await part<Histories>('figures')
    const history = new History(3)
    history.add(state(1000, 100))
    history.add(state(2000, 200))
    history.add(state(500, 7, { pid: 2 }))
    expect([history.steps, history.now]).to.deep.equal([[], undefined])
  })

  it('is medians as near as buckets tell', async () => {
    const { quantile } = await part<Histories>('figures')
    expect(quantile([0, 0, 0], [10, 100], 0.5)).to.equal(undefined)
    expect(quantile([10, 0, 0], [10, 100], 0.5)).to.equal(5)
    expect(quantile([10, 10, 0], [10, 100], 0.75)).to.equal(55)
    expect(quantile([0, 4, 0], [10, 100], 1)).to.equal(100)
    expect(quantile([0, 0, 9], [10, 100], 0.5)).to.equal(100)
  })

  it('is numbers with a unit that are easily compared', async () => {
    const { count, rate, duration, bytes, percent, printable } = await part<Formats>('format')
    expect([0, 999, 1234567].map(count)).to.deep.equal(['0', '999', '1,234,567'])
    expect([0, 0.01, 0.5, 12.34, 99.96, 1234.5].map(rate)).to.deep.equal(['0', '<0.1', '0.5', '12.3', '100.0', '1,235'])
    const plain = (text: string): string => text.replaceAll('\u202f', ' ')
    expect([0.4, 85, 999, 1500, 46_000, 2e6, 90e6, 7200e6, 61 * 86400e6].map(duration).map(plain)).to.deep.equal(
      ['0 µs', '85 µs', '999 µs', '1.5 ms', '46 ms', '2 s', '1.5 min', '2 h', '61 d']
    )
    expect([0, 999, 1000, 12_345, 1.5e12].map(bytes).map(plain)).to.deep.equal(['0 B', '999 B', '1.0 kB', '12 kB', '1.5 TB'])
    expect([0, 0.034, 0.5, 1].map(percent).map(plain)).to.deep.equal(['0.0 %', '3.4 %', '50 %', '100 %'])
    expect(printable('a\u202eb\u0000c\u200bd\n\u00e9<b>')).to.equal('a\ufffdb\ufffdc\ufffdd\ufffd\u00e9<b>')
  })
})
