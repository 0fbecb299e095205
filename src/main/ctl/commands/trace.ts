import { setTimeout as pause } from 'node:timers/promises'
import { BROKER, type BrokerTrace, type BrokerTracedCall } from '../../../protocol/messages/broker-admin.js'
import { wholeNumber, type BrokerCommand } from '../command.js'
import { printable } from '../printable.js'
import { dateAndTime } from '../table.js'

const POLL_MS = 200

export const trace: BrokerCommand = {
  name: 'trace',
  describes: 'show the calls of a client as they are answered',
  define: command => void command.argument('<id>', 'of the client', wholeNumber),
  run: async ({ link, operand: id, showLine }) => {
    let thread: number | undefined
    let told: BrokerTrace | undefined
    const say = (what: string): void => showLine({ note: what }, ({ note }) => `-- ${printable(note)}`)
    for (;;) {
      const report = (await link.call(BROKER.trace, { id, thread })) as BrokerTrace
      if (report.silent && told?.silent !== true) say('its thread does not answer')
      if (report.began && told !== undefined) say('nobody has asked for a while: what was called meanwhile is not known')
      if (report.dropped > 0) say(`${report.dropped} calls were too many to be kept`)
      for (const call of report.calls) showLine(call, callText)
      const held = inHand(report)
      if (held !== '' && (told === undefined || held !== inHand(told))) say(held)
      if (report.over !== undefined) {
        say(`the client has gone: ${report.over}`)
        return 0
      }
      thread = report.thread
      told = report
      await pause(POLL_MS)
    }
  }
}

/** How long what is slow has been with the daemon, in steps that are not all told. */
const SLOW_MS = [1000, 10_000, 60_000, 600_000]

/** What is not answered and should be, by now. */
function inHand({ inFlight, allInFlight, waiting }: BrokerTrace): string {
  const slow = inFlight
    .map(({ procedure, ms }) => ({ procedure, step: ms === undefined ? undefined : SLOW_MS.findLast(step => ms >= step) }))
    .filter(({ step }) => step !== undefined)
    .map(({ procedure, step = 0 }) => `${procedure} for more than ${step / 1000} s`)
  if (slow.length === 0) return ''
  const rest = [allInFlight > slow.length ? `${allInFlight - slow.length} others` : '', waiting > 0 ? 'calls wait behind them' : '']
  return `not answered: ${[...slow, ...rest].filter(part => part !== '').join(', ')}`
}

function callText({ at, procedure, outcome, code, message, queuedUs, driverUs }: BrokerTracedCall): string {
  const milliseconds = String(at % 1000).padStart(3, '0')
  const times = driverUs === undefined ? '' : `  ${ms(driverUs)} ms${queuedUs! > 0 ? `, after ${ms(queuedUs!)} ms of waiting` : ''}`
  const why = code === undefined ? '' : ` ${code}${message === undefined ? '' : ` (${printable(message)})`}`
  return `${dateAndTime(at)}.${milliseconds}  ${printable(procedure).padEnd(40)}  ${outcome}${why}${times}`
}

const ms = (us: number): string => (us / 1000).toFixed(3)
