import { createHash } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Cleanup } from './cleanup.js'
import { mustRun } from './processes.js'
import { parts, projectCopy } from './project-copy.js'
import { tempDir } from './temp-dir.js'

const PATIENCE_MS = 300_000
const repository = new URL('../../../', import.meta.url).pathname
/** Packages of the same sources are built once for all suites, which run in processes of their own. */
const STORE = '/var/tmp/virtbroker-packages'

/** The path of what `npm run package:deb -- OPTIONS` makes. */
export const debianPackage = (...options: string[]): Promise<string> => built('package:deb', options)

/** Of `npm run package:rpm`. */
export const rpmPackage = (): Promise<string> => built('package:rpm', [])

/** One at a time; who comes later finds it. Those of yesterday are removed. */
const buildScript = `
set -e
store=$1 place=$2 project=$3
shift 3
if [ ! -e "$place" ]; then
  rm -rf "$place.new"
  (cd "$project" && npm run --silent "$@" --out "$place.new") >&2
  find "$store" -mindepth 1 -maxdepth 1 -mtime +0 -exec rm -rf {} +
  mv "$place.new" "$place"
fi
ls -d "$place"/*
`

async function built(script: string, options: readonly string[]): Promise<string> {
  const order = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0']
  const sources = execFileSync('tar', ['-C', repository, ...order, '-c', ...parts], { maxBuffer: 1 << 30 })
  const key = createHash('sha256').update(sources).update(JSON.stringify([script, options, process.version])).digest('hex').slice(0, 16)
  const place = join(STORE, key)
  const cleanup = new Cleanup()
  try {
    await mkdir(STORE, { recursive: true })
    const build = [STORE, place, await projectCopy(cleanup), script, '--', ...options]
    const argv = ['flock', `${place}.lock`, 'sh', '-c', buildScript, 'sh', ...build]
    return (await mustRun(argv, { timeout: PATIENCE_MS })).stdout.trim()
  } finally {
    await cleanup.run()
  }
}

export const contentsOf = async (file: string): Promise<string> => (await mustRun(['dpkg-deb', '--contents', file])).stdout

export const versionOf = async (file: string): Promise<string> =>
  (await mustRun(['dpkg-deb', '--field', file, 'Version'])).stdout.trim()

const releaseScript = `
set -e
cd "$1"
dpkg-deb --raw-extract "$2" tree
mv "tree/usr/lib/virtbroker/$3" "tree/usr/lib/virtbroker/$4"
old=$(echo "$3" | sed 's/[.+]/\\\\&/g')
cd tree
sed -i "s/$old/$4/g" DEBIAN/* usr/sbin/virtbrokerd usr/sbin/virtbrokerctl "usr/lib/virtbroker/$4/package.json"
cd "usr/lib/virtbroker/$4/dist"
eval "$5"
cd "$OLDPWD/.."
dpkg-deb --build --root-owner-group -Zgzip tree .
`

/** The same as another release. `change`: what the shell does in its `dist` before it is packed. */
export async function asRelease(cleanup: Cleanup, file: string, version: string, change = ''): Promise<string> {
  const dir = await tempDir(cleanup)
  await mustRun(['sh', '-c', releaseScript, 'sh', dir, file, await versionOf(file), version, change])
  return join(dir, `virtbroker_${version}_amd64.deb`)
}
