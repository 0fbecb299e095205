import type * as serving from '../serving/dispatch.js'
import type { DriverClient } from './client.js'
import type { Hypervisor } from './hypervisor.js'

/** One call of a client that has opened a connection. */
export interface Call extends serving.Call<DriverClient> {
  readonly hypervisor: Hypervisor
}

/**
 * Decodes the arguments, does the work and encodes the reply, all at once. What it returns is the driver's end of the
 * stream that the call opens.
 */
export type Handler = (call: Call) => serving.Outcome

/** By procedure number. Each kind of object brings its own table. */
export type HandlerTable = Readonly<Record<number, Handler>>

/** Of what can be asked before a connection is open. */
export type DoorTable = Readonly<Record<number, serving.Procedure<DriverClient>>>
