import { RemoteError, undecodable } from '../../protocol/errors.js'
import type { Call, Outcome, Procedure } from '../../workers/serving/dispatch.js'
import type { AdminWatcher } from '../audit/admin-records.js'
import type { AdminClient } from './admin-client.js'
import { deedKind, type DeedKind } from './deeds.js'

type Served = Procedure<AdminClient> | undefined

/** The program, with somebody told of what its calls change. `watcher`: undefined while nobody is. */
export const recorded = (prog: number, program: readonly Served[], watcher: () => AdminWatcher | undefined): readonly Served[] =>
  program.map((procedure, proc) => {
    const kind = deedKind(prog, proc)
    return procedure && kind ? call => watched(procedure, kind, call, watcher()) : procedure
  })

/** It is told when it is done, or has failed. */
function watched(
  procedure: Procedure<AdminClient>, { operation, read }: DeedKind, call: Call<AdminClient>, watcher: AdminWatcher | undefined
): Outcome {
  const deed = watcher && read(call.args.again())
  if (deed === undefined) return procedure(call)
  const { client } = call
  const time = Date.now()
  const came = performance.now()
  const tell = (error?: unknown): void => {
    const failure = error === undefined || error instanceof RemoteError ? error : undecodable()
    watcher!.did(client, { operation, ...deed, time, micros: 1000 * (performance.now() - came), error: failure })
  }
  const failed = (error: unknown): never => {
    tell(error)
    throw error
  }
  let outcome: Outcome
  try {
    outcome = procedure(call)
  } catch (error) {
    return failed(error)
  }
  if (outcome instanceof Promise) return outcome.then(end => (tell(), end), failed)
  tell()
  return outcome
}
