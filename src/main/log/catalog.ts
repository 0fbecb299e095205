import { MESSAGE_KINDS } from '../../workers/base/log-kinds.js'

/**
 * Turns the table of kinds of messages into the page of the docs and into the catalog from which `journalctl -x` explains
 * them. `npm run generate` runs it; a unit test fails when they and the table disagree.
 */

const WIDTH = 118

const INTRODUCTION = `# Messages of the log

Every message of warning and above is of one of these kinds. The kind is the field \`kind\` of a line in JSON, and
\`VIRTBROKER_KIND\` in the journal, where \`MESSAGE_ID\` tells it as well. Names and ids stay the same for ever; the texts of
messages may change.

\`journalctl -x\` shows these explanations once \`virtbroker.catalog\` is in \`/usr/lib/systemd/catalog\` and
\`journalctl --update-catalog\` has been run. \`journalctl VIRTBROKER_KIND=no-driver\` finds messages of a kind.

This page and the catalog are made from \`src/workers/base/log-kinds.ts\` by \`npm run generate\`.
`

const kinds = Object.entries(MESSAGE_KINDS)

/** Text of docs/log-messages.md. */
export function pageText(): string {
  const sections = kinds.map(([name, { level, id, subject, meaning, advice }]) =>
    [`## ${name}`, `${level}, \`${id}\``, wrapped(`**${subject}.** ${meaning}`), wrapped(`What to do: ${advice}`)].join('\n\n')
  )
  return `${INTRODUCTION}\n${sections.join('\n\n')}\n`
}

/** Text of packaging/systemd/virtbroker.catalog (systemd's documentation: Journal Message Catalogs). */
export function catalogText(): string {
  const entries = kinds.map(([, { id, subject, meaning, advice }]) =>
    [`-- ${id}\nSubject: ${subject}\nDefined-By: virtbroker`, wrapped(meaning), wrapped(`What to do: ${advice}`)].join('\n\n')
  )
  return `# Generated from src/workers/base/log-kinds.ts by \`npm run generate\`. Do not edit.\n\n${entries.join('\n\n')}\n`
}

function wrapped(text: string): string {
  const lines = ['']
  for (const word of text.split(' ')) {
    const line = lines.at(-1)!
    if (line.length + word.length < WIDTH) lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
    else lines.push(word)
  }
  return lines.join('\n')
}
