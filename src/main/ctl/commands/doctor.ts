import { FOUND_PROBLEMS, type BrokerCommand } from '../command.js'
import type { Finding } from '../doctor/finding.js'
import { printable } from '../printable.js'

export const doctor: BrokerCommand = {
  name: 'doctor',
  describes: 'look at all that a broker needs, and say what to do',
  define: command => void command.option('-f, --config <file>', 'its configuration'),
  run: async ({ link, options, show }) => {
    // It needs most of the broker's own code.
    const { examine } = await import('../doctor/examine.js')
    const findings = await examine(link, options.config as string | undefined)
    show(findings, text)
    return findings.some(({ level }) => level === 'problem') ? FOUND_PROBLEMS : 0
  }
}

const LABEL = { ok: 'ok', note: '--', problem: 'DO' } as const
const CHECK_WIDTH = 15

const text = (findings: readonly Finding[]): string =>
  findings.map(({ level, check, what, advice }) =>
    `${LABEL[level]}  ${check.padEnd(CHECK_WIDTH)}${printable(what)}${advice === undefined ? '' : ` -> ${printable(advice)}`}`
  ).join('\n')
