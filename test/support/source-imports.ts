import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import ts from 'typescript'

const sources = new URL('../../../src/', import.meta.url)

/** Every module under src, by its path there, and the modules of src that it imports, for their types too. */
export function sourceImports(): ReadonlyMap<string, readonly string[]> {
  const files = readdirSync(sources, { recursive: true, encoding: 'utf8' })
  return new Map(files.filter(file => /(?<!\.d)\.ts$/.test(file)).map(file => [file, importsOf(file)]))
}

function importsOf(file: string): string[] {
  const { importedFiles } = ts.preProcessFile(readFileSync(new URL(file, sources), 'utf8'))
  const own = importedFiles.filter(({ fileName }) => fileName.startsWith('.'))
  return own.map(({ fileName }) => path.join(path.dirname(file), fileName).replace(/\.js$/, '.ts'))
}

/** The groups of modules that import each other, by whatever ways (strongly connected ones, by Tarjan). */
export function circles(imports: ReadonlyMap<string, readonly string[]>): string[][] {
  const found: string[][] = []
  const seen = new Map<string, { index: number; low: number; open: boolean }>()
  const path: string[] = []
  const visit = (file: string): { index: number; low: number; open: boolean } => {
    const here = { index: seen.size, low: seen.size, open: true }
    seen.set(file, here)
    path.push(file)
    for (const other of imports.get(file) ?? []) {
      const there = seen.get(other) ?? visit(other)
      if (there.open) here.low = Math.min(here.low, there.low)
    }
    if (here.low < here.index) return here
    const group = path.splice(path.indexOf(file))
    for (const member of group) seen.get(member)!.open = false
    if (group.length > 1) found.push(group.sort())
    return here
  }
  for (const file of imports.keys()) if (!seen.has(file)) visit(file)
  return found
}
