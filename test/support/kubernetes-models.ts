import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { mustRun, run } from './processes.js'

/** Made from the schemas of Kubernetes 1.31 and of its Gateway API; installed once, and for no other test. */
const PACKAGES = ['kubernetes-models@4.5.1', '@kubernetes-models/gateway-api@0.5.1', 'yaml@2.8.1']
const PLACE = '/var/tmp/virtbroker-kubernetes-models'
const TSC = new URL('../../../node_modules/typescript/bin/tsc', import.meta.url).pathname

const script = `
set -e
test ! -e "$1" || exit 0
rm -rf "$1.new"
mkdir "$1.new"
place=$1.new
shift
cd "$place"
echo '{"type":"module"}' > package.json
npm install --silent --no-audit --no-fund --no-save "$@"
mv "$place" "\${place%.new}"
`

/** Where each kind is found. */
const MODULES: Record<string, string> = {
  v1: 'kubernetes-models/v1',
  'apps/v1': 'kubernetes-models/apps/v1',
  'gateway.networking.k8s.io/v1alpha2': '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1alpha2'
}

interface Described { apiVersion: string; kind: string }
type Model = new (data: Described) => { validate(): void }

/** Looks at what Kubernetes is to be told: types and values by its schemas, and keys that it does not know. */
export class KubernetesModels {
  static async installed(): Promise<KubernetesModels> {
    if (!existsSync(PLACE)) await mustRun(['flock', `${PLACE}.lock`, 'sh', '-c', script, 'sh', PLACE, ...PACKAGES], { timeout: 120_000 })
    return new KubernetesModels()
  }

  /** The documents of a file. */
  async read(text: string): Promise<Described[]> {
    const { parseAllDocuments } = await import(at('yaml/dist/index.js')) as { parseAllDocuments: (text: string) => { toJS(): Described }[] }
    return parseAllDocuments(text).map(document => document.toJS())
  }

  /** What is wrong with them, a line each. */
  async faults(documents: readonly Described[]): Promise<string[]> {
    const found = await Promise.all(documents.map(document => this.#fault(document)))
    return [...found.filter(fault => fault !== undefined), ...await this.#unknownKeys(documents)]
  }

  async #fault(document: Described): Promise<string | undefined> {
    const models = await import(at(`${moduleOf(document)}/index.mjs`)) as Record<string, Model | undefined>
    const Model = models[document.kind]
    if (Model === undefined) return `${document.kind} is not known`
    try {
      new Model(document).validate()
      return undefined
    } catch (error) {
      return (error as Error).message
    }
  }

  /** The compiler finds keys that no type has. */
  async #unknownKeys(documents: readonly Described[]): Promise<string[]> {
    const dir = await mkdtemp(join(PLACE, 'check-'))
    try {
      const imports = documents.map((document, i) => `import type { I${document.kind} as I${i} } from '${moduleOf(document)}'\n`)
      const values = documents.map((document, i) => `export const v${i} = ${JSON.stringify(document)} satisfies I${i}\n`)
      await writeFile(join(dir, 'check.ts'), [...imports, ...values].join(''))
      const options = ['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2022', '--module', 'nodenext']
      const { stdout } = await run([process.execPath, TSC, ...options, 'check.ts'], { cwd: dir, timeout: 60_000 })
      return stdout.split('\n').filter(line => line.includes('error'))
    } finally {
      await rm(dir, { recursive: true })
    }
  }
}

function moduleOf({ apiVersion }: Described): string {
  const module = MODULES[apiVersion]
  if (module === undefined) throw new Error(`apiVersion ${apiVersion} is not known`)
  return module
}

const at = (path: string): string => pathToFileURL(join(PLACE, 'node_modules', path)).href
