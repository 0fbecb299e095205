import { threadId } from 'node:worker_threads'
import { expose, transfer } from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import { Actor } from './actor.js'
import type { ActorControl, ActorTask } from '../thread/control.js'
import { SOURCE } from '../base/log.js'
import { Heart, Pulse } from '../thread/pulse.js'
import { loadModule, outliveModule } from './thread-module.js'

/** The pool's task: from here on the thread is an actor thread, until its supervisor shuts it down. */
export default async function actorThread(task: ActorTask): Promise<void> {
  const failure = task.module === undefined ? undefined : await loadModule(task.module)
  const actor = new Actor(task)
  if (task.module !== undefined) outliveModule(actor.log.strangers)
  if (failure !== undefined) actor.log.write('module-failed', SOURCE.daemon, failure)
  const pulse = new Pulse(task.pulse)
  pulse.begin(threadId)
  new Heart(actor.clock, pulse)
  // Only what the supervisor may ask is within its reach.
  const control: ActorControl = {
    ready: () => undefined,
    activity: id => actor.activity(id),
    connections: after => actor.connections(after),
    busiest: () => actor.busiest(),
    clientFigures: () => {
      const figures = actor.clientFigures()
      return transfer(figures, [figures.buffer])
    },
    trace: (id, by) => actor.trace(id, by),
    disconnect: id => actor.disconnect(id),
    apply: settings => actor.apply(settings),
    useSasl: port => actor.useSasl(port),
    drain: ms => actor.drain(ms),
    resume: () => actor.resume(),
    shutdown: () => actor.shutdown()
  }
  expose(control, nodeEndpoint(task.control))
  await actor.done
  task.control.close()
}
