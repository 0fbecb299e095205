import { PROGRAM } from '#protocol/header.js'
import { proceduresOf } from '#protocol/procedures.js'
import type { Call } from '../load/orders.js'

/**
 * The call of the remote program with this name and these arguments, encoded and in hexadecimal digits. Throws where there
 * is none, or where it may change something and that was not said to be wanted.
 */
export function callOf(name: string, args: string, mayChange: boolean): Call {
  const procedure = proceduresOf(PROGRAM.remote).find(candidate => candidate.name === name.toUpperCase())
  if (procedure === undefined) throw new Error(`no procedure '${name}': docs/procedures.tsv lists them all`)
  if (procedure.kind !== 'call' || procedure.binds !== 'nothing') throw new Error(`${procedure.name} cannot be called again and again`)
  if (!/^([0-9a-f]{2})*$/i.test(args)) throw new Error('arguments are pairs of hexadecimal digits')
  if (procedure.hasArgs && args === '') throw new Error(`${procedure.name} needs arguments: --arguments, encoded`)
  if (procedure.readonly !== 'allow' && !mayChange) {
    throw new Error(`${procedure.name} may change something: --allow-changes calls it all the same`)
  }
  return { procedure: procedure.number, body: Buffer.from(args, 'hex') }
}
