import { BROKER } from '../../../protocol/messages/broker-admin.js'
import { wholeNumber, type BrokerCommand } from '../command.js'

/** One that is done when the broker says so. */
const deed = (name: string, describes: string, proc: number, done: string): BrokerCommand => ({
  name,
  describes,
  run: async ({ link, show }) => { show(await link.call(proc), () => done) }
})

export const drain = deed('drain', 'take no more clients, and let those there finish what they have begun', BROKER.drain, 'draining')
export const undrain = deed('undrain', 'take clients again', BROKER.resume, 'serving')
export const reload = deed('reload', 'load the configuration anew, and say whether it can be used', BROKER.reload, 'loaded')

export const disconnect: BrokerCommand = {
  name: 'disconnect',
  describes: 'close the connection of a client at once',
  define: command => void command.argument('<id>', 'of the client', wholeNumber),
  run: async ({ link, operand, show }) => { show(await link.call(BROKER.disconnect, { id: operand }), () => 'disconnected') }
}
