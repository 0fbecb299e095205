import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Command, Option } from 'commander'
import { Bench } from './bench.js'
import { buildRevision } from './compare.js'
import { ENTRIES } from './entries/all.js'
import type { Entry } from './entries/entry.js'
import type { DriverKind } from './peers/driver.js'
import type { PeerName } from './peers/peers.js'
import { ndjson } from './results/ndjson.js'
import { plots } from './report/plots.js'
import { reportPage } from './report/page.js'
import { resultTable } from './results/table.js'
import { FULL, QUICK, SMOKE, type Scale } from './scale.js'
import { beforeEnd } from './system/at-exit.js'
import { describeMachine, type Machine } from './system/machine.js'
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
  entrySeconds?: number
  compare?: string
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
    .option('--entry-seconds <n>', 'no further turns when an entry has taken so long', Number)
    .option('--compare <revision>', 'measure against the broker of this revision; other peers only with --peers')
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

function peersOf({ peers: wanted, compare }: Options): PeerName[] {
  const known: readonly PeerName[] = ['haproxy', 'libvirtd', 'direct']
  const unknown = wanted.find(name => !known.includes(name as PeerName))
  if (unknown !== undefined) throw new Error(`no peer '${unknown}'; there are ${known.join(', ')}`)
  if (compare !== undefined) return ['virtbroker', 'base', ...known.filter(name => wanted.includes(name))]
  return ['virtbroker', ...known.filter(name => wanted.length === 0 || wanted.includes(name))]
}

function scaleOf({ smoke, quick, rounds, entrySeconds }: Options): Scale {
  const scale = smoke ? SMOKE : quick ? QUICK : FULL
  return { ...scale, ...(rounds && { rounds }), ...(entrySeconds && { entryMs: 1000 * entrySeconds }) }
}

/** Where the results are written. */
async function report(bench: Bench, entries: readonly Entry[], machine: Machine, directory: string): Promise<void> {
  const table = resultTable(bench, entries, machine)
  mkdirSync(directory, { recursive: true })
  const put = (name: string, text: string): void => writeFileSync(path.join(directory, name), text)
  put('results.md', table)
  put('results.ndjson', ndjson(bench, entries, machine))
  const drawn = await plots(bench)
  for (const { name, svg } of drawn) put(`${name}.svg`, svg)
  put('report.html', reportPage(bench, entries, machine, drawn))
  process.stdout.write(`${table}\nTables, plots and figures: ${directory}\n`)
}

async function main(): Promise<void> {
  const options = parse()
  const entries = chosen(options.entry)
  const peers = peersOf(options)
  const progress = new Progress(process.stderr)
  const driver = entries.some(({ needsLibvirtd }) => needsLibvirtd) ? 'libvirtd' : options.driver
  requirePrograms([...peers, driver], text => progress.note(text))
  if (options.compare !== undefined) progress.note(`building ${options.compare}`)
  const base = options.compare === undefined ? undefined : buildRevision(project, options.compare)
  try {
    const bench = new Bench({
      scale: scaleOf(options),
      driver: options.driver,
      broker: executable,
      base: base?.executable,
      peers,
      progress: text => progress.show(text)
    })
    const machine = describeMachine(project)
    beforeEnd(() => report(bench, entries, machine, options.out))
    for (const entry of entries) {
      bench.begin(entry.name)
      await entry.run(bench)
    }
    progress.clear()
    await report(bench, entries, machine, options.out)
  } finally {
    base?.remove()
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
})
