/**
 * A program that asks for the names of users, as the supervisor's name service gives them: patience in milliseconds,
 * then the ids. Prints the answers as they come, a line each, and ends with the last.
 */
import type { NameAnswer } from '#workers/names/messages.js'
import { NameService } from '#main/threads/name-service.js'

const [patience, ...ids] = process.argv.slice(2).map(Number)
const say = (_source: string, message: string): void => console.log(message)
const names = new NameService({ info: say, log: (_kind, source, message) => say(source, message) }, patience)
const port = names.connect()
const open = new Set(ids)
port.on('message', ({ id, name, failed }: NameAnswer) => {
  console.log(`${id}: ${failed === true ? 'nobody can say' : (name ?? 'no name')}`)
  open.delete(id)
  if (open.size > 0) return
  names.stop()
  port.close()
})
for (const id of ids) port.postMessage({ kind: 'user', id })
