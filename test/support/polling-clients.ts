/**
 * Clients that each have an address of their own, in a process: it can run in another network. Arguments: address and port to
 * connect to, how many. The first is 10.9.0.1. A client whose connection ends comes back at once. On its input it takes
 * commands, a line each, and answers with a line of JSON: see Fleet.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { STATUS } from '#protocol/header.js'
import { encodeOpen } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { clientAddresses } from './fleet-addresses.js'
import { RawClient } from './raw-client.js'

const [host = '', port = '', count = ''] = process.argv.slice(2)

/** How often the connections of all ended, and calls that were not answered. */
const total = { ends: 0, failed: 0, refused: 0 }

class PollingClient {
  #client: RawClient | undefined
  #coming: Promise<RawClient> | undefined

  constructor(readonly address: string) {}

  /** Resolves when a call has been answered, on whichever connection. */
  async call(): Promise<void> {
    for (;;) {
      const client = await this.#connected()
      const answered = await client.call(REMOTE.connectGetLibVersion).then(({ status }) => status === STATUS.ok, () => false)
      if (answered) return
      total.failed++
    }
  }

  async #connected(): Promise<RawClient> {
    if (this.#client !== undefined && !this.#client.closed) return this.#client
    this.#coming ??= this.#come()
    this.#client = await this.#coming
    this.#coming = undefined
    return this.#client
  }

  async #come(): Promise<RawClient> {
    for (;;) {
      const socket = connect({ host, port: Number(port), localAddress: this.address, noDelay: true })
      const client = new RawClient(socket)
      const open = await once(socket, 'connect')
        .then(() => client.call(REMOTE.connectOpen, encodeOpen({ name: 'test:///default', flags: 0 })))
        .then(({ status }) => status === STATUS.ok, () => false)
      if (open) {
        socket.once('close', () => {
          total.ends++
          void this.#connected()
        })
        return client
      }
      total.refused++
      socket.destroy()
    }
  }
}

const clients = clientAddresses(Number(count)).map(address => new PollingClient(address))

for await (const command of createInterface({ input: process.stdin })) {
  const began = performance.now()
  if (command === 'call') await Promise.all(clients.map(client => client.call()))
  console.log(JSON.stringify({ ...total, ms: Math.round(performance.now() - began) }))
}
process.exit()
