import { expect } from 'chai'
import { circles, sourceImports } from '../support/source-imports.js'

/** The rooms of the house. Each imports itself and those in rows above it; rooms of one row do not know each other. */
const ROOMS: readonly (readonly string[])[] = [
  ['protocol'],
  ['os'],
  ['base'],
  ['transport'],
  ['tls', 'sasl', 'polkit'],
  ['thread'],
  ['framing'],
  ['names', 'observe', 'policy'],
  ['auth', 'driver', 'arrival', 'serving'],
  ['session', 'test-driver'],
  ['actor'],
  ['main/config'],
  ['main/log'],
  ['main/tls', 'main/listen'],
  ['main/threads'],
  ['main/clients'],
  ['main/audit'],
  ['main/admin', 'main/metrics'],
  ['main/page'],
  ['main/life'],
  ['main/ctl'],
  ['main']
]

const imports = sourceImports()

function roomOf(file: string): string {
  const [first = '', room = '', ...within] = file.split('/')
  if (first === 'main' && within.length > 0) return `main/${room}`
  return first === 'workers' ? room : first
}

const levelOf = (file: string): number => ROOMS.findIndex(row => row.includes(roomOf(file)))

describe('imports', () => {
  it('are those of rooms that stand in the table', () => {
    for (const file of imports.keys()) expect(levelOf(file), file).to.be.at.least(0)
  })

  it('go one way between rooms', () => {
    const against = [...imports].flatMap(([file, others]) =>
      others
        .filter(other => roomOf(other) !== roomOf(file) && levelOf(other) >= levelOf(file))
        .map(other => `${file} -> ${other}`)
    )
    expect(against).to.deep.equal([])
  })

  it('go round in no circle of modules', () => {
    expect(circles(imports)).to.deep.equal([])
  })
})
