// Writes the manual pages into a directory: those of the programs as they are, and virtbrokerd.conf(5) from the sample file
// and the table of keys. Needs a built dist. Plain JavaScript, as what builds packages is.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const here = import.meta.dirname
const sample = join(here, '../virtbrokerd.conf')

const REACH = {
  live: 'A reload changes it for all.',
  'new clients': 'A reload changes it for clients that come from then on.',
  restart: 'A change needs a restart.'
}

/** Text as troff takes it for itself: nothing in it is a request, and a hyphen stays a hyphen. */
const plain = text => text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replace(/^(?=[.'])/gm, '\\&')

function effect({ type, effect }) {
  if (effect.when === 'now') return `(${type}) ${REACH[effect.reach]}`
  return `(${type})`
}

/** The sample file in pieces: headings, and one or more keys under the lines that speak of them. */
function* pieces(text) {
  let about = []
  let keys = []
  for (const line of [...text.split('\n'), '']) {
    const [, heading] = /^## (.+)$/.exec(line) ?? []
    const [, key, value] = /^#([a-z_]+) = (.*)$/.exec(line) ?? []
    if (heading !== undefined) yield { heading }
    else if (key !== undefined) keys.push({ key, value })
    else if (line.startsWith('# ')) about.push(line.slice(2))
    else {
      if (about.length > 0 || keys.length > 0) yield { about: about.join('\n'), keys }
      about = []
      keys = []
    }
  }
}

/** virtbrokerd.conf(5). Throws Error if a key of the sample file is not in the table. */
export function configurationPage(text, KEYS) {
  const out = [
    '.TH VIRTBROKERD.CONF 5 "" virtbroker "File formats"',
    '.SH NAME',
    'virtbrokerd.conf \\- configuration of virtbrokerd',
    '.SH DESCRIPTION'
  ]
  let isIntroduction = true
  for (const { heading, about, keys } of pieces(text)) {
    if (heading !== undefined) {
      if (isIntroduction) {
        out.push('.PP', 'A line is', '.IR "key " = " value" :', 'a number, a string in double quotes, or a list of strings in brackets. What follows a # is a comment.', '.SH KEYS')
      }
      isIntroduction = false
      out.push(`.SS ${plain(heading)}`)
    } else if (keys.length === 0) out.push('.PP', plain(about))
    else {
      for (const [at, { key, value }] of keys.entries()) out.push(at === 0 ? '.TP' : '.TQ', `\\fB${key}\\fR = ${plain(value)}`)
      const known = KEYS[keys[0].key]
      if (known === undefined) throw new Error(`${sample}: ${keys[0].key} is no key`)
      out.push(plain(about), '.br', plain(effect(known)))
    }
  }
  out.push('.SH SEE ALSO', '.BR virtbrokerd (8)')
  return `${out.join('\n')}\n`
}

/** Writes all pages. `dist`: where the table of keys is compiled. */
export async function writePages(directory, dist) {
  const { KEYS } = await import(pathToFileURL(join(dist, 'main/config/keys.js')).href)
  mkdirSync(directory, { recursive: true })
  for (const page of ['virtbrokerd.8', 'virtbrokerctl.8']) copyFileSync(join(here, page), join(directory, page))
  writeFileSync(join(directory, 'virtbrokerd.conf.5'), configurationPage(readFileSync(sample, 'utf8'), KEYS))
}

if (process.argv[1] === import.meta.filename) {
  const root = join(here, '../..')
  await writePages(process.argv[2] ?? join(root, 'dist/man'), join(root, 'dist'))
}
