// What `npm start` runs: looks whether it can work, builds what has changed, and starts. Plain JavaScript, for nothing is
// built yet, and older Nodes are to read it as well.
import { spawnSync } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

function fail(message) {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}

/** The port that the arguments name, as far as they can be understood; the rest is left to the program itself. */
function wantedPort() {
  const at = process.argv.findIndex(argument => argument === '--port' || argument.startsWith('--port='))
  if (at < 0) return 16509
  const [, value = process.argv[at + 1]] = process.argv[at].split('=')
  const port = Number(value)
  return Number.isInteger(port) && port > 0 && port < 65536 ? port : undefined
}

function isFree(port) {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', error => resolve(error.code !== 'EADDRINUSE'))
    server.listen({ port, host: '127.0.0.1' }, () => server.close(() => resolve(true)))
  })
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) fail(`Node.js 20.19 or later is needed; this is ${process.versions.node}.`)
if (!existsSync(`${root}node_modules/typescript`)) fail('The packages that it is built with are not there yet. First: npm ci')
const port = process.argv.some(argument => argument === '-h' || argument === '--help') ? undefined : wantedPort()
if (port !== undefined && !(await isFree(port))) {
  fail(`Port ${port} is taken, by another libvirt daemon perhaps. Try: npm start -- --port 16599`)
}
const isBuilt = existsSync(`${root}dist/main/quickstart.js`)
// What has been deleted has not changed, as the compiler sees it.
if (!isBuilt) rmSync(`${root}build/src.tsbuildinfo`, { force: true })
process.stderr.write(isBuilt ? 'Building what has changed…\n' : 'Building, which takes some seconds…\n')
const { status } = spawnSync(process.execPath, [`${root}node_modules/typescript/bin/tsc`, '-p', `${root}tsconfig.json`], { stdio: 'inherit' })
if (status !== 0) fail('It does not build.')
await import('../dist/main/quickstart.js')
