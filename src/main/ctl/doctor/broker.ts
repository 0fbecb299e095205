import { readFileSync, readlinkSync } from 'node:fs'
import { resolve } from 'node:path'
import { BROKER, type BrokerLimits, type BrokerStatus } from '../../../protocol/messages/broker-admin.js'
import { planDescriptors } from '../../clients/descriptor-plan.js'
import { version } from '../../config/version.js'
import type { AdminLink } from '../admin-link.js'
import { note, ok, problem, type Finding } from './finding.js'
import { reasonOfFailure } from '../reason.js'

/** A broker that runs. */
export interface Running {
  readonly status: BrokerStatus
  readonly limits: BrokerLimits
}

export async function runningBroker(link: AdminLink): Promise<{ running: Running | undefined; findings: Finding[] }> {
  try {
    const status = (await link.call(BROKER.status)) as BrokerStatus
    const limits = (await link.call(BROKER.limits)) as BrokerLimits
    return { running: { status, limits }, findings: [...statusFindings(status), ...limitFindings(status, limits)] }
  } catch (error) {
    return { running: undefined, findings: [note('broker', `none answers: ${reasonOfFailure(error)}`)] }
  }
}

function statusFindings({ pid, version: running, state, refused, clients, threads }: BrokerStatus): Finding[] {
  const what = `virtbrokerd ${running}, process ${pid}, is ${state}: ${clients} clients, ${threads.serving} threads`
  return [
    state === 'serving' ? ok('broker', what) : note('broker', what),
    ...(running === version ? [] : [problem('broker', `${version} is installed, and ${running} runs`, 'restart it')]),
    ...(refused === undefined ? [] : [problem('broker', `configuration not loaded anew: ${refused}`, 'correct the file, and reload')]),
    ...(threads.serving < threads.min ? [problem('broker', `${threads.serving} of ${threads.min} threads serve`, 'look into its log')] : [])
  ]
}

/** Sockets of its own, and pipes, that it has without any client. */
const AT_START = 64
const LISTENERS = 4

function limitFindings({ pid }: BrokerStatus, { maxClients }: BrokerLimits): Finding[] {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/limits`, 'latin1')
  } catch (error) {
    return [note('open files', `not to be seen: ${reasonOfFailure(error)}`)]
  }
  const found = /^Max open files\s+(\d+)/m.exec(text)
  const limit = found === null ? Infinity : Number(found[1])
  const { short, clients } = planDescriptors({ limit, inUse: AT_START, listeners: LISTENERS, maxClients })
  if (!short) return [ok('open files', `the limit of ${limit} has room for ${maxClients} clients (max_clients)`)]
  const what = `the limit of ${limit} has room for some ${clients} clients, and max_clients is ${maxClients}`
  return [problem('open files', what, 'raise LimitNOFILE= of virtbrokerd.service, or lower max_clients')]
}

const LONG = '--config='

/** The configuration file that its command line names; undefined if none, or if it cannot be seen. */
export function configFileOf(pid: number): string | undefined {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    const at = words.findIndex(word => word === '-f' || word === '--config')
    const named = at >= 0 ? words[at + 1] : words.find(word => word.startsWith(LONG))?.slice(LONG.length)
    return named && resolve(readlinkSync(`/proc/${pid}/cwd`), named)
  } catch {
    return undefined
  }
}
