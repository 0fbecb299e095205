/**
 * Imported by processes that the broker starts: signals that go to all processes of a terminal or a service are the
 * broker's affair, which ends us when it is time. (SIGUSR1 has a module of its own: no-debugger.ts.)
 */
for (const signal of ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP', 'SIGUSR2'] as const) process.on(signal, () => undefined)
