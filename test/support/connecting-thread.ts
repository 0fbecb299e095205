/** Opens sockets for daemons that are not there, and closes them, until its end. A message tells that it has begun. */
import { parentPort, workerData } from 'node:worker_threads'
import { connectUnix } from '#workers/driver/unix-connect.js'
import { FdLedger } from '#workers/os/fd-ledger.js'

const { shared, owner } = workerData as { shared: SharedArrayBuffer; owner: number }
const ledger = new FdLedger(shared)
parentPort!.postMessage('begun')
for (;;) await connectUnix([{ path: '/nowhere/daemon', named: true }], ledger, owner, 0, { up: true })
