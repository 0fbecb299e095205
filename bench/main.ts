import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Command, Option } from 'commander'
import { Bench } from './bench.js'
import { ENTRIES } from './entries/all.js'
import type { Entry } from './entries/entry.js'
import type { DriverKind } from './peers/driver.js'
import type { PeerName } from './peers/peers.js'
import { ndjson } from './results/ndjson.js'
import { resultTable } from './results/table.js'
import { FULL, QUICK, SMOKE, type Scale } from './scale.js'
import { describeMachine } from './system/machine.js'
import { requirePrograms } from './system/packages.js'
import { Progress } from './system/progress.js'

const project = new URL('../..', import.meta.url).pathname
const executable = path.join(project, 'dist/main/virtbrokerd.js')

interface Options {
  quick?: true
  smoke?: true
  entry: string[]
  driver: Exclude<DriverKind, 'answering'>
  peers: string[]
  rounds?: number
  out: string
}

const several = (value: string, before: string[] = []): string[] => [...before, ...value.split(',')]

function parse(): Options {
  const names = ENTRIES.map(({ name }) => name).join(', ')
  return new Command('bench')
    .description('Measures the broker side by side with HAProxy, with libvirtd as a proxy, and with no proxy at all.')
    .option('--quick', 'end within two minutes')
    .option('--smoke', 'only show that everything works; the figures mean nothing')
    .addOption(new Option('--entry <name...>', `only these: ${names}`).argParser(several).default([]))
    .addOption(new Option('--driver <kind>', 'what calls end at').choices(['libvirtd', 'embedded']).default('libvirtd'))
    .addOption(
      new Option('--peers <name...>', 'what to measure').argParser(several).default([], 'haproxy,libvirtd,direct')
    )
    .option('--rounds <n>', 'turns of each peer', Number)
    .option('--out <directory>', 'where results go', path.join(project, 'build/bench-results'))
    .parse()
    .opts<Options>()
}

function chosen(wanted: readonly string[]): readonly Entry[] {
  if (wanted.length === 0) return ENTRIES
  return wanted.map(name => {
    const entry = ENTRIES.find(candidate => candidate.name === name)
    if (entry === undefined) throw new Error(`no entry '${name}'; there are ${ENTRIES.map(e => e.name).join(', ')}`)
    return entry
  })
}

function peersOf(wanted: readonly string[]): PeerName[] {
  const known: readonly PeerName[] = ['haproxy', 'libvirtd', 'direct']
  if (wanted.length === 0) return ['virtbroker', ...known]
  const unknown = wanted.find(name => !known.includes(name as PeerName) && name !== 'virtbroker')
  if (unknown !== undefined) throw new Error(`no peer '${unknown}'; there are ${known.join(', ')}`)
  return ['virtbroker', ...known.filter(name => wanted.includes(name))]
}

async function main(): Promise<void> {
  const options = parse()
  const entries = chosen(options.entry)
  const peers = peersOf(options.peers)
  const progress = new Progress(process.stderr)
  const programs = [...peers, options.driver].filter(name => name === 'haproxy' || name === 'libvirtd')
  requirePrograms(programs, text => progress.note(text))
  const scale: Scale = { ...(options.smoke ? SMOKE : options.quick ? QUICK : FULL) }
  if (options.rounds !== undefined) scale.rounds = options.rounds
  const bench = new Bench({
    scale,
    driver: options.driver,
    broker: executable,
    base: undefined,
    peers,
    progress: text => progress.show(text)
  })
  const machine = describeMachine(project)
  for (const entry of entries) {
    bench.begin(entry.name)
    await entry.run(bench)
  }
  progress.clear()
  const table = resultTable(bench, entries, machine)
  mkdirSync(options.out, { recursive: true })
  const file = (name: string): string => path.join(options.out, name)
  writeFileSync(file('results.md'), table)
  writeFileSync(file('results.ndjson'), ndjson(bench, entries, machine))
  process.stdout.write(`${table}\nresults are in ${options.out}\n`)
}

main().catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
})
