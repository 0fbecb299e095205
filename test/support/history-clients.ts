import { decodeError } from '#protocol/errors.js'
import { STATUS } from '#protocol/header.js'
import { History } from './history.js'
import { GET_METADATA, getArguments, SET_METADATA, setArguments, valueOf, type Register } from './metadata.js'
import type { Random } from './random.js'
import type { RawClient } from './raw-client.js'

/** Of one client that are not over. */
const CALLS = 3
const WRITES = 0.15

export interface HistoryClient {
  readonly client: RawClient
  /** Its connection is read-only. */
  readonly readonly: boolean
}

/**
 * Clients of a broker, each with some calls out, write to registers and read them, until so many operations are over. Throws at
 * the first that is wrong. Returns how many there were.
 */
export async function writeAndRead(
  clients: readonly HistoryClient[],
  registers: readonly Register[],
  random: Random,
  operations: number
): Promise<number> {
  const history = new History(registers.length)
  const [{ client: first }] = clients as [HistoryClient]
  for (const register of registers) await called(first, SET_METADATA, setArguments(register, 0))
  const work = async ({ client, readonly }: HistoryClient): Promise<void> => {
    while (history.operations < operations) {
      const register = random.integer(0, registers.length - 1)
      if (!readonly && random.chance(WRITES) && !history.isBeingWritten(register)) {
        const value = history.write(register)
        await called(client, SET_METADATA, setArguments(registers[register]!, value))
        history.written(register, value)
      } else {
        const least = history.read(register)
        history.hasRead(register, least, valueOf(await called(client, GET_METADATA, getArguments(registers[register]!))))
      }
    }
  }
  await Promise.all(clients.flatMap(client => Array.from({ length: CALLS }, () => work(client))))
  return history.operations
}

async function called(client: RawClient, proc: number, args: Buffer): Promise<Buffer> {
  const { status, payload } = await client.call(proc, args)
  if (status !== STATUS.ok) throw decodeError(payload)
  return payload
}
