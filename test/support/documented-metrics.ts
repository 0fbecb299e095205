import { readFileSync } from 'node:fs'

const page = new URL('../../../docs/metrics.md', import.meta.url)

/** What docs/metrics.md says there is, by name: type and labels. */
export function documented(): Map<string, { type: string; labels: string[] }> {
  const found = new Map<string, { type: string; labels: string[] }>()
  const rows = readFileSync(page, 'utf8').matchAll(/^\| (`[a-z_`, ]+) \| (counter|gauge|histogram) \|([^|]*)\|/gm)
  for (const [, names = '', type = '', labels = ''] of rows) {
    const quoted = (text: string): string[] => Array.from(text.matchAll(/`([a-z_]+)`/g), ([, name]) => name!)
    for (const name of quoted(names)) found.set(name, { type, labels: quoted(labels) })
  }
  return found
}
