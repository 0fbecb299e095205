import { readFile } from 'node:fs/promises'

/** A block of commands of a page. */
export interface Step {
  commands: string
  /** The page shows how this does not work. */
  fails: boolean
  /** What the page says is printed. */
  output: string | undefined
}

const docs = new URL('../../../docs/', import.meta.url)
/** A fenced block: its info string, and what is in it. */
const BLOCK = /^```(.*)\n([^]*?)^```$/gm

/**
 * The commands of a page of documentation. A block whose info string is `sh step=NAME` is a step that a test runs, one
 * with `fails` behind it is to fail; a block `text output` behind a step has all that it prints.
 */
export class Page {
  readonly #untried: Set<string>

  private constructor(readonly name: string, readonly steps: ReadonlyMap<string, Step>) {
    this.#untried = new Set(steps.keys())
  }

  static async read(name: string): Promise<Page> {
    const steps = new Map<string, Step>()
    let last: Step | undefined
    for (const [, info, text] of (await readFile(new URL(name, docs), 'utf8')).matchAll(BLOCK)) {
      const step = /^sh step=(\S+)( fails)?$/.exec(info!)
      if (step !== null) {
        if (steps.has(step[1]!)) throw new Error(`${name} has two steps ${step[1]}`)
        last = { commands: text!, fails: step[2] !== undefined, output: undefined }
        steps.set(step[1]!, last)
      } else if (info === 'text output') {
        if (last === undefined || last.output !== undefined) throw new Error(`${name}: output of what?\n${text}`)
        last.output = text!
      } else if (/step|output/.test(info!)) throw new Error(`${name}: \`\`\`${info} is not understood`)
    }
    return new Page(name, steps)
  }

  /** A step of the page, which counts as tried from now on. */
  take(name: string): Step {
    const step = this.steps.get(name)
    if (step === undefined) throw new Error(`${this.name} has no step ${name}`)
    this.#untried.delete(name)
    return step
  }

  /** Steps that no test has taken. */
  get untried(): string[] {
    return [...this.#untried]
  }
}
