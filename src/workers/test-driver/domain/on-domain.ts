import type { Call, Handler } from '../call.js'
import { checkFlags } from '../failures.js'
import { readDomain } from '../wire.js'
import type { Domain } from './domain.js'

/** The domain that the arguments begin with, and that is all of them. */
export const domainOf = (call: Call): Domain => call.hypervisor.domain(readDomain(call.args))

/** A call on a domain, with flags after it. */
export const onDomain =
  (allowed: number, cFunction: string, act: (call: Call, domain: Domain, flags: number) => void): Handler =>
    call => {
      const ref = readDomain(call.args)
      const flags = call.args.u32()
      checkFlags(flags, allowed, cFunction)
      act(call, call.hypervisor.domain(ref), flags)
    }
