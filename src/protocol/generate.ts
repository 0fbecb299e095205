import { readFileSync, writeFileSync } from 'node:fs'
import { numbersText, tableText } from './procedure-generator.js'

// Run from the project's root: node dist/protocol/generate.js
const facts = readFileSync('docs/procedures.tsv', 'utf8')
writeFileSync('src/protocol/procedure-table.ts', tableText(facts))
writeFileSync('src/protocol/procedure-numbers.ts', numbersText(facts))
