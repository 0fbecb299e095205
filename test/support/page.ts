import { readFile } from 'node:fs/promises'
import { expect } from 'chai'
import type { Outcome } from './processes.js'

/** A block of commands of a page. */
export interface Step {
  commands: string
  /** The page shows how this does not work. */
  fails: boolean
  /** What the page says is printed. */
  output: string | undefined
}

/** A fenced block of a page: its info string, and what is in it. */
export interface Block {
  info: string
  text: string
}

const docs = new URL('../../../docs/', import.meta.url)
const BLOCK = /^```(.*)\n([^]*?)^```$/gm

export async function blocksOf(name: string): Promise<Block[]> {
  const text = await readFile(new URL(name, docs), 'utf8')
  return Array.from(text.matchAll(BLOCK), ([, info, text]) => ({ info: info!, text: text! }))
}

/** What a page shows of what is printed; `…` stands for anything within a line. */
export const shown = (text: string): RegExp =>
  new RegExp(`^${text.trim().replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('…', '.*')}$`)

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
    for (const { info, text } of await blocksOf(name)) {
      const step = /^sh step=(\S+)( fails)?$/.exec(info)
      if (step !== null) {
        if (steps.has(step[1]!)) throw new Error(`${name} has two steps ${step[1]}`)
        last = { commands: text, fails: step[2] !== undefined, output: undefined }
        steps.set(step[1]!, last)
      } else if (info === 'text output') {
        if (last === undefined || last.output !== undefined) throw new Error(`${name}: output of what?\n${text}`)
        last.output = text
      } else if (/step|output/.test(info)) throw new Error(`${name}: \`\`\`${info} is not understood`)
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

  /** Runs steps one after the other. `run` runs commands of a shell, and may try again what is to fail and does not yet. */
  async follow(names: readonly string[], run: (commands: string, step: Step) => Promise<Outcome>): Promise<void> {
    for (const name of names) {
      const step = this.take(name)
      const { status, stdout, stderr } = await run(step.commands, step)
      const all = `${stdout}${stderr}`
      expect(status !== 0, `step ${name} of ${this.name}: status ${status}\n${all}`).to.equal(step.fails)
      if (step.output !== undefined) expect(all.trim(), `output of step ${name} of ${this.name}`).to.match(shown(step.output))
    }
  }
}
