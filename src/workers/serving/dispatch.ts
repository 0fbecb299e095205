import { unexpectedStatus, unknownProcedure, unknownProgram } from '../../protocol/errors.js'
import { PROGRAM_VERSION, STATUS, type Header } from '../../protocol/header.js'
import type { XdrReader, XdrWriter } from '../../protocol/xdr.js'
import type { StreamEnd } from './streams.js'

/** One call of a client. `Client` is what the service keeps of each. */
export interface Call<Client> {
  readonly client: Client
  /** Valid until the procedure returns: one that returns a promise has read all it needs by then. */
  readonly args: XdrReader
  readonly reply: XdrWriter
  /** Those that came with the call. What a procedure leaves here is closed. */
  readonly descriptors: number[]
  /** Those that go with the reply. */
  readonly replyDescriptors: number[]
}

/**
 * What a procedure leads to, beside its reply: the server's end of the stream that it opens. With a promise the reply
 * waits for that, and so do the client's further calls.
 */
export type Outcome = StreamEnd | void | Promise<StreamEnd | void>

/** Serves one procedure. Throws RemoteError for the client, XdrError for arguments that do not decode. */
export type Procedure<Client> = (call: Call<Client>) => Outcome

/** What a server serves: by program, and there by number. Dense, as it is looked up for every call. */
export type Programs<Client> = ReadonlyMap<number, readonly (Procedure<Client> | undefined)[]>

/** The procedure of a call. Throws the error that libvirt has for a header that names none. */
export function procedureOf<Client>(programs: Programs<Client>, header: Header): Procedure<Client> {
  const program = programs.get(header.prog)
  if (!program || header.vers !== PROGRAM_VERSION) throw unknownProgram(header.prog, header.vers)
  if (header.status !== STATUS.ok) throw unexpectedStatus(header.status)
  const procedure = program[header.proc]
  if (!procedure) throw unknownProcedure(header.proc)
  return procedure
}
