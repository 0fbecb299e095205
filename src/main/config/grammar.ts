import { StartupError } from './startup-error.js'

/** A value as written. Integers are big: their range is a matter of the key (`signed` means: it had a minus). */
export type ConfValue =
  | { kind: 'unsigned' | 'signed'; value: bigint }
  | { kind: 'string'; value: string }
  | { kind: 'list'; value: ConfValue[] }

export interface Assignment {
  value: ConfValue
  /** 1-based line of the value's end. */
  line: number
}

/** Larger files are refused before they are parsed, as virConfReadFile does. */
export const MAX_CONF_BYTES = 10 * 1024 * 1024

const MAX_NUMBER = 2n ** 63n - 1n
/** libvirt has no such limit and overflows its stack instead. */
const MAX_LIST_DEPTH = 64

const LINE_FEED = 10
const NAME = /[A-Za-z][A-Za-z0-9_]*/y
const DIGITS = /[0-9]+/y
const BLANKS = /[ \t]*/y
const BLANKS_AND_ENDS_OF_LINE = /[ \t\r\n]*/y
const REST_OF_LINE = /[^\r\n]*/y

/**
 * Reads the text of a configuration file by the grammar of libvirt's virConf. The first assignment to a name wins.
 * `fileName` appears in the messages of the StartupError that is thrown for anything that the grammar does not allow.
 */
export function parseConf(text: string, fileName: string): Map<string, Assignment> {
  return new Parser(text, fileName).parse()
}

class Parser {
  #at = 0
  #line = 1
  readonly #found = new Map<string, Assignment>()

  constructor(
    readonly text: string,
    readonly fileName: string
  ) {}

  parse(): Map<string, Assignment> {
    while (this.#at < this.text.length) {
      this.#statement()
      this.#separator()
    }
    return this.#found
  }

  #statement(): void {
    this.#skip(BLANKS_AND_ENDS_OF_LINE)
    if (this.#next() === '#') {
      this.#skip(REST_OF_LINE)
      return
    }
    const name = this.#take(NAME)
    if (name === '') this.#refuse('expecting a name')
    this.#skip(BLANKS)
    if (this.#next() !== '=') this.#refuse('expecting an assignment')
    this.#at++
    const value = this.#value(0)
    if (!this.#found.has(name)) this.#found.set(name, { value, line: this.#line })
    this.#skip(BLANKS)
    if (this.#next() === '#') this.#skip(REST_OF_LINE)
  }

  #separator(): void {
    this.#skip(BLANKS)
    if (this.#at >= this.text.length) return
    if (this.#next() === ';') this.#at++
    else if (this.#next() !== '\n' && this.#next() !== '\r') this.#refuse('expecting a separator')
    this.#skip(BLANKS_AND_ENDS_OF_LINE)
  }

  #value(depth: number): ConfValue {
    this.#skip(BLANKS)
    const first = this.#next()
    if (first === '"' || first === "'") return { kind: 'string', value: this.#string(first) }
    if (first === '[') return { kind: 'list', value: this.#list(depth + 1) }
    if (/^[-+0-9]$/.test(first)) return this.#number(first)
    return this.#refuse('expecting a value')
  }

  #number(first: string): ConfValue {
    if (first === '-' || first === '+') this.#at++
    const digits = this.#take(DIGITS)
    if (digits === '') this.#refuse('unterminated number')
    // Comparing lengths first: turning a megabyte of digits into a BigInt takes its time.
    const size = digits.replace(/^0+(?=.)/, '')
    if (size.length > 19 || BigInt(size) > MAX_NUMBER) {
      throw new StartupError(`numerical overflow: ${this.fileName}:${this.#line}: numeric overflow in conf value`)
    }
    return first === '-' ? { kind: 'signed', value: -BigInt(size) } : { kind: 'unsigned', value: BigInt(size) }
  }

  #string(quote: string): string {
    const long = quote === '"' && this.text.startsWith('"""', this.#at)
    const mark = long ? '"""' : quote
    const start = this.#at + mark.length
    const end = this.text.indexOf(mark, start)
    if (long) {
      // virConf looks for the mark up to two bytes before the end of the file and counts lines on the way.
      this.#countLines(start, end < 0 ? this.text.length - 2 : end)
    }
    if (end < 0 || (!long && /[\r\n]/.test(this.text.slice(start, end)))) this.#refuse('unterminated string')
    this.#at = end + mark.length
    // virConf keeps C strings, which end at a NUL.
    return this.text.slice(start, end).replace(/\0.*$/s, '')
  }

  #list(depth: number): ConfValue[] {
    if (depth > MAX_LIST_DEPTH) this.#refuse('lists are nested too deeply')
    const values: ConfValue[] = []
    this.#at++
    this.#skip(BLANKS_AND_ENDS_OF_LINE)
    while (this.#at < this.text.length && this.#next() !== ']') {
      values.push(this.#value(depth))
      this.#skip(BLANKS_AND_ENDS_OF_LINE)
      if (this.#next() === ']' || this.#next() === '') break
      if (this.#next() !== ',') this.#refuse('expecting a separator in list')
      this.#at++
      this.#skip(BLANKS_AND_ENDS_OF_LINE)
      if (this.#next() === '') this.#refuse('expecting a value')
    }
    if (this.#next() !== ']') this.#refuse('list is not closed with ]')
    this.#at++
    return values
  }

  /** The character to be read next, '' at the end. */
  #next(): string {
    return this.text.charAt(this.#at)
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at
    const taken = pattern.exec(this.text)?.[0] ?? ''
    this.#at += taken.length
    return taken
  }

  #skip(pattern: RegExp): void {
    const from = this.#at
    this.#take(pattern)
    this.#countLines(from, this.#at)
  }

  #countLines(from: number, to: number): void {
    for (let at = from; at < to; at++) if (this.text.charCodeAt(at) === LINE_FEED) this.#line++
  }

  #refuse(what: string): never {
    throw new StartupError(`configuration file syntax error: ${this.fileName}:${this.#line}: ${what}`)
  }
}
