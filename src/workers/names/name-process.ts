import '../os/no-debugger.js'
import '../os/broker-signals.js'
import { lookUpName } from './lookup.js'
import type { NameAnswer, NameQuestion } from './messages.js'

/**
 * Runs in a process of its own, which the supervisor keeps: a name service may ask the network and take any time, and
 * nobody can call a thread back from it. A process can be killed.
 */
process.on('message', ({ kind, id }: NameQuestion) => {
  void lookUpName(kind, id).then(name => process.send!({ kind, id, name } satisfies NameAnswer))
})

// An orderly exit would wait for the lookups.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
