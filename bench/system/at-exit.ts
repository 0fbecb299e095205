const tasks = new Set<() => void>()
let finish: () => Promise<void> = () => Promise.resolve()

process.on('exit', () => {
  for (const task of tasks) task()
})
// Without a handler a signal ends the process at once, and nothing is cleared away.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => void finish().finally(() => process.exit(1)))

/** Runs `task` when the process ends, however it ends, unless the returned function has been called before. */
export function atExit(task: () => void): () => void {
  tasks.add(task)
  return () => void tasks.delete(task)
}

/** What a signal that ends the process waits for. */
export function beforeEnd(task: () => Promise<void>): void {
  finish = task
}
