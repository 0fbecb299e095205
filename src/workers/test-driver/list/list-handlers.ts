import type { XdrWriter } from '../../../protocol/xdr.js'
import type { Handler } from '../call.js'
import { checkFlags } from '../failures.js'
import type { Hypervisor } from '../hypervisor.js'
import { readRoom, writeList, writeString } from '../wire.js'

/** The objects of one kind that a hypervisor has. */
type All<T> = (hypervisor: Hypervisor) => readonly T[]

/** One of the calls CONNECT_LIST_ALL_*. */
interface ListCall<T> {
  readonly all: All<T>
  /** The flags that it has, and the C function under whose name others are refused. */
  readonly flags: number
  readonly cFunction: string
  /** The part that refuses them, if it is not the test driver. */
  readonly domain?: number
  /** Whether the flags let an object through. */
  fits(object: NoInfer<T>, flags: number): boolean
  item(xdr: XdrWriter, object: NoInfer<T>): void
}

/** Its arguments are whether results are wanted, and flags. */
export const listAll =
  <T>(list: ListCall<T>): Handler =>
    ({ hypervisor, args, reply }) => {
      const [wanted, flags] = [args.i32() !== 0, args.u32()]
      checkFlags(flags, list.flags, list.cFunction, list.domain)
      const found = list.all(hypervisor).filter(object => list.fits(object, flags))
      writeList(reply, found, wanted, (xdr, object) => list.item(xdr, object))
    }

/** CONNECT_NUM_OF_* */
export const countActive =
  (all: All<{ active: boolean }>, active: boolean): Handler =>
    ({ hypervisor, reply }) =>
      void reply.i32(all(hypervisor).filter(object => object.active === active).length)

/** CONNECT_LIST_*: the names, as many as the caller has room for. `constant` is what libvirt calls the most. */
export const listActive =
  (all: All<{ active: boolean; name: string }>, active: boolean, constant: string): Handler =>
    ({ hypervisor, args, reply }) => {
      const most = readRoom(args, 'maxnames', constant)
      const names = all(hypervisor).filter(object => object.active === active).map(object => object.name)
      reply.array(names.slice(0, most), writeString)
    }
