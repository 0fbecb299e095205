import { expect } from 'chai'
import { readFileSync } from 'node:fs'
import { parseConf } from '#main/config/grammar.js'
import { KEYS, keyNames, readSettings, type Effect } from '#main/config/keys.js'
import { withReachTable } from '#main/config/reach-table.js'

function effective(effect: Effect): string {
  if (effect.when === 'now') return effect.reach
  return `no: ${effect.because}`
}

const shown = (value: unknown): string => (typeof value === 'string' ? `"${value}"` : String(Number(value)))

describe('docs/configuration.md', () => {
  const rows = new Map(
    readFileSync('docs/configuration.md', 'utf8')
      .split('\n')
      .map(line => line.split('|').map(cell => cell.trim()))
      .filter(([, key]) => key !== undefined && /^`[a-z_]+`$/.test(key))
      .map(([, key = '', ...cells]) => [key.slice(1, -1), cells])
  )

  for (const name of keyNames) {
    it(`tells the truth about ${name}`, () => {
      const [type, byDefault, effect, meaning] = rows.get(name) ?? []
      expect(type).to.equal(KEYS[name].type)
      if (KEYS[name].default !== undefined) expect(byDefault).to.equal(`\`${shown(KEYS[name].default)}\``)
      else expect(byDefault).not.to.equal('')
      expect(effect).to.equal(effective(KEYS[name].effect))
      if (KEYS[name].type !== 'anything') expect(meaning).not.to.equal('')
    })
  }

  it('has the table of keys as it is generated', () => {
    const page = readFileSync('docs/configuration.md', 'utf8')
    expect(withReachTable(page), 'npm run generate').to.equal(page)
  })

  it('has no key that does not exist', () => {
    expect([...rows.keys()].filter(name => !keyNames.some(known => known === name))).to.deep.equal([])
  })
})

describe('packaging/virtbrokerd.conf', () => {
  const text = readFileSync('packaging/virtbrokerd.conf', 'utf8')
  const read = (conf: string) => readSettings(parseConf(conf, 'virtbrokerd.conf'), 'virtbrokerd.conf')

  it('changes nothing as it is', () => expect(read(text).given.size).to.equal(0))

  it('holds every key with a value of its type, the default where there is one', () => {
    const example = parseConf(text.replace(/^#(?=[a-z_]+ = )/gm, ''), 'virtbrokerd.conf')
    const { given, unknown } = readSettings(example, 'virtbrokerd.conf')
    expect(unknown).to.deep.equal([])
    expect([...given]).to.have.members(keyNames.filter(name => KEYS[name].type !== 'anything'))
    for (const name of given) {
      const byDefault = KEYS[name].default
      // The default strength is below what may be set.
      if (byDefault === undefined || name === 'tcp_min_ssf') continue
      const { value } = example.get(name)?.value ?? {}
      expect(shown(value), name).to.equal(shown(byDefault))
    }
  })
})
