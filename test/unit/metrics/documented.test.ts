import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { FAMILIES } from '#workers/thread/metric-families.js'
import { documented } from '../../support/documented-metrics.js'

const read = (path: string): string => readFileSync(path, 'utf8')

describe('docs/metrics.md', () => {
  it('tells of each family with its type and labels', () => {
    const told = documented()
    for (const { name, type, labels, across } of Object.values(FAMILIES)) {
      const thread = across === 'each' || across === 'loops' ? ['thread'] : []
      expect(told.get(name), name).to.deep.equal({ type, labels: [...thread, ...Object.keys(labels)] })
    }
  })
})

for (const file of ['packaging/grafana/virtbroker.json', 'packaging/prometheus/virtbroker.rules.yml']) {
  describe(file, () => {
    it('asks for nothing that is not documented', () => {
      const known = documented()
      const names = Array.from(read(file).matchAll(/\bvirtbroker_([a-z_]+)/g), ([, name]) => name!)
      expect(names.length).to.be.above(10)
      const series = (name: string): boolean => known.has(name) || known.has(name.replace(/_(bucket|sum|count)$/, ''))
      expect(names.filter(name => !series(name))).to.deep.equal([])
    })
  })
}
