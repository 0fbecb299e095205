import { readFileSync, writeFileSync } from 'node:fs'
import { numbersText, tableText } from '../protocol/procedure-generator.js'
import { withReachTable } from './config/reach-table.js'
import { catalogText, pageText } from './log/catalog.js'

// Run from the project's root: node dist/main/generate.js
const facts = readFileSync('docs/procedures.tsv', 'utf8')
writeFileSync('src/protocol/procedure-table.ts', tableText(facts))
writeFileSync('src/protocol/procedure-numbers.ts', numbersText(facts))
writeFileSync('docs/configuration.md', withReachTable(readFileSync('docs/configuration.md', 'utf8')))
writeFileSync('docs/log-messages.md', pageText())
writeFileSync('packaging/systemd/virtbroker.catalog', catalogText())
