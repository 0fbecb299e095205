import { CODE, templated, type RemoteError } from '../../protocol/errors.js'
import { PROGRAM } from '../../protocol/header.js'
import { proceduresOf, type Procedure } from '../../protocol/procedures.js'
import { publicDomain, readOnlyPrevents } from '../../protocol/public-errors.js'
import { publicName } from '../../protocol/public-name.js'
import type * as serving from '../serving/dispatch.js'
import type { DoorTable, Handler, HandlerTable } from './call.js'
import type { DriverClient } from './client.js'
import { door } from './door.js'
import { allHandlers, qemuHandlers } from './handlers.js'

type Serve = serving.Procedure<DriverClient>

/** All that the driver answers. What it knows and does not serve it refuses as "not supported". */
export const programs: serving.Programs<DriverClient> = new Map([
  [PROGRAM.remote, program(PROGRAM.remote, allHandlers, door)],
  [PROGRAM.qemu, program(PROGRAM.qemu, qemuHandlers)],
  [PROGRAM.lxc, program(PROGRAM.lxc, {})]
])

function program(prog: number, handlers: HandlerTable, beforeOpen: DoorTable = {}): (Serve | undefined)[] {
  const table: (Serve | undefined)[] = [undefined]
  for (const procedure of proceduresOf(prog)) {
    const { kind, number } = procedure
    table[number] = kind === 'event' ? undefined : (beforeOpen[number] ?? onceOpen(procedure, handlers[number]))
  }
  return table
}

function onceOpen(procedure: Procedure, handler: Handler | undefined): Serve {
  return call => {
    const hypervisor = call.client.requireOpen()
    if (call.client.readOnly && procedure.readonly === 'deny') throw readOnlyPrevents(procedure)
    if (!handler) throw unserved(procedure)
    return handler({ ...call, hypervisor })
  }
}

function unserved(procedure: Procedure): RemoteError {
  const template = 'this function is not supported by the connection driver: %1$s'
  return templated(CODE.noSupport, publicDomain(procedure), template, publicName(procedure.name, procedure.program))
}
