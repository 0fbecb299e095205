import { BlockList, isIP } from 'node:net'

/** IP addresses, each written as `10.0.0.1`, `10.0.0.0/8` or `10.0.0.1-10.0.0.9`, and the same with IPv6. */
export class AddressSet {
  readonly #list = new BlockList()

  /** Throws RangeError with the first text that is none of these. */
  constructor(texts: readonly string[]) {
    for (const text of texts) {
      try {
        this.#add(text)
      } catch {
        throw new RangeError(text)
      }
    }
  }

  /** `ip`: numeric. */
  has(ip: string): boolean {
    return this.#list.check(ip, family(ip))
  }

  #add(text: string): void {
    const [first = '', last] = text.split('-')
    const [net = '', prefix] = text.split('/')
    if (last !== undefined) this.#list.addRange(first, last, family(first))
    else if (prefix === undefined) this.#list.addAddress(text, family(text))
    else if (/^\d+$/.test(prefix)) this.#list.addSubnet(net, Number(prefix), family(net))
    else throw new RangeError(text)
  }
}

const family = (ip: string): 'ipv4' | 'ipv6' => (isIP(ip) === 6 ? 'ipv6' : 'ipv4')
