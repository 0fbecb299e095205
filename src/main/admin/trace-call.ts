import { invalidArgument } from '../../protocol/bad-arguments.js'
import type { BrokerTrace } from '../../protocol/messages/broker-admin.js'
import { procedureName } from '../../protocol/procedures.js'
import type { CallInFlight, TracedCall } from '../../workers/thread/trace-report.js'
import type { Clients } from '../clients/clients.js'
import type { ThreadAnswers } from './broker-server.js'
import { failed, noClient } from './failures.js'
import { wholeNumber, type JsonArguments } from './json-procedure.js'

/** What tracing has of the broker. */
export interface Traced {
  readonly clients: Clients
  readonly threads: { readonly questions: Pick<ThreadAnswers, 'trace'> }
}

/** What a client has called since this was asked last. `by`: who asks. */
export async function trace({ clients, threads }: Traced, wanted: JsonArguments, by: number): Promise<BrokerTrace> {
  const id = wholeNumber(wanted.id, 'id')
  // Of one that has gone its thread may still have something to tell.
  const thread = clients.get(id)?.thread ?? (wanted.thread === undefined ? undefined : wholeNumber(wanted.thread, 'thread'))
  const answer = thread === undefined ? undefined : await threads.questions.trace(thread, id, by)
  if (answer === undefined) throw clients.get(id) === undefined ? noClient(BigInt(id)) : invalidArgument('the client has not arrived')
  if (answer === 'silent') return { thread: thread!, ...SILENT }
  if ('refused' in answer) throw failed(answer.refused)
  const { calls, inFlight, ...rest } = answer
  return { thread: thread!, silent: false, calls: calls.map(named), inFlight: inFlight.map(named), ...rest }
}

const SILENT = { silent: true, began: false, calls: [], dropped: 0, inFlight: [], allInFlight: 0, waiting: 0, over: undefined }

type Named<Found> = Omit<Found, 'prog' | 'proc'> & { procedure: string }

const named = <Found extends TracedCall | CallInFlight>({ prog, proc, ...rest }: Found): Named<Found> =>
  ({ procedure: procedureName(prog, proc), ...rest })
