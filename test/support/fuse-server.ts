/**
 * Run by slow-descriptors.ts: serves a FUSE file system at the directory named by its argument. Every name in it is an
 * empty file, which can be opened. What it is, and its closing, is never answered, until this process is killed.
 */
import { openSync, readSync, writeSync } from 'node:fs'
import koffi from 'koffi'

/** Of `enum fuse_opcode`. */
const OPCODE = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  open: 14,
  release: 18,
  flush: 25,
  init: 26,
  interrupt: 36,
  batchForget: 42
}
const ENOSYS = 38
const ROOT = 1n
const MODE = { directory: 0o040755, file: 0o100644 }
const HEADER_BYTES = 40

const mount = koffi.load(null).func('int mount(str, str, str, unsigned long, str)') as (
  source: string,
  target: string,
  type: string,
  flags: number,
  data: string
) => number

const device = openSync('/dev/fuse', 'r+')
const options = `fd=${device},rootmode=40000,user_id=0,group_id=0,allow_other`
if (mount('test', process.argv[2]!, 'fuse', 0, options) !== 0) throw new Error(`mount: errno ${koffi.errno()}`)
process.stdout.write('mounted\n')

/** `struct fuse_attr` */
function attributes(node: bigint): Buffer {
  const bytes = Buffer.alloc(88)
  bytes.writeBigUInt64LE(node, 0)
  bytes.writeUInt32LE(node === ROOT ? MODE.directory : MODE.file, 60)
  bytes.writeUInt32LE(1, 64)
  return bytes
}

/** What is answered, or undefined where nothing is. */
function answer(opcode: number, node: bigint): Buffer | number | undefined {
  switch (opcode) {
    case OPCODE.init: {
      const bytes = Buffer.alloc(64)
      bytes.writeUInt32LE(7, 0)
      bytes.writeUInt32LE(31, 4)
      bytes.writeUInt32LE(65_536, 20)
      return bytes
    }
    case OPCODE.lookup: {
      const entry = Buffer.alloc(40)
      entry.writeBigUInt64LE(2n, 0)
      return Buffer.concat([entry, attributes(2n)])
    }
    case OPCODE.getattr:
      return node === ROOT ? Buffer.concat([Buffer.alloc(16), attributes(node)]) : undefined
    case OPCODE.open:
      return Buffer.alloc(16)
    case OPCODE.release:
      return Buffer.alloc(0)
    case OPCODE.flush:
      process.stdout.write('closing\n')
      return undefined
    case OPCODE.forget:
    case OPCODE.interrupt:
    case OPCODE.batchForget:
      return undefined
    default:
      return ENOSYS
  }
}

const request = Buffer.alloc(128 * 1024)
for (;;) {
  if (readSync(device, request) < HEADER_BYTES) continue
  const reply = answer(request.readUInt32LE(4), request.readBigUInt64LE(16))
  if (reply === undefined) continue
  const body = typeof reply === 'number' ? Buffer.alloc(0) : reply
  const header = Buffer.alloc(16)
  header.writeUInt32LE(16 + body.length, 0)
  header.writeInt32LE(typeof reply === 'number' ? -reply : 0, 4)
  header.writeBigUInt64LE(request.readBigUInt64LE(8), 8)
  writeSync(device, Buffer.concat([header, body]))
}
