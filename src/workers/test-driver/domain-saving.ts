import { closeSync, constants, openSync, readSync, readFileSync, statSync, writeSync, ftruncateSync } from 'node:fs'
import { resolve } from 'node:path'
import { DOMAIN, systemError, type RemoteError } from '../../protocol/errors.js'
import { REMOTE } from '../../protocol/procedures.js'
import type { Call, HandlerTable } from './dispatch.js'
import { enter, perform } from './domain-life.js'
import { parseDomain } from './domain-xml.js'
import { Definition, OPEN_ELEMENTS, type Domain } from './domain.js'
import { argumentUnsupported, badArgument, checkFlags, internal, invalid, operationUnsupported } from './failures.js'
import { readDomain, readString, type DomainRef } from './wire.js'
import { printXml, type XmlElement } from './xml.js'

/** A saved image: these bytes, the length of the definition as a little-endian word, and the definition. */
const MAGIC = Buffer.from('TestGuestMagic\0')
const MAX_DEFINITION = 1024 * 1024
const LENGTH_BYTES = 4

const SAVE = { bypassCache: 1, running: 2, paused: 4 } as const
const DUMP_CRASH = 1
const RAW = 0

const ERRNO_TEXTS: Record<string, string> = {
  ENOENT: 'No such file or directory',
  EACCES: 'Permission denied',
  EISDIR: 'Is a directory',
  ENOTDIR: 'Not a directory',
  EEXIST: 'File exists',
  ENOSPC: 'No space left on device',
  EROFS: 'Read-only file system',
  ELOOP: 'Too many levels of symbolic links'
}

function fileError(what: string, error: unknown): RemoteError {
  const { errno = 0, code = '' } = error as NodeJS.ErrnoException
  return systemError(Math.abs(errno), `${what}: ${ERRNO_TEXTS[code] ?? code}`, DOMAIN.test)
}

/**
 * Writes a file that is new, or that was one of these before: with the rights of this process, no client may
 * overwrite anything else.
 */
function writeFile(path: string, whatOpen: string, whatWrite: string, ...parts: Buffer[]): void {
  let fd: number
  try {
    fd = openSync(path, constants.O_CREAT | constants.O_RDWR | constants.O_NOFOLLOW, 0o600)
  } catch (error) {
    throw fileError(whatOpen, error)
  }
  try {
    const head = Buffer.alloc(MAGIC.length)
    const there = readSync(fd, head, 0, head.length, 0)
    if (there > 0 && !head.equals(MAGIC)) throw Object.assign(new Error('not an image'), { errno: 17, code: 'EEXIST' })
    ftruncateSync(fd, 0)
    let at = 0
    for (const part of parts) at += writeSync(fd, part, 0, part.length, at)
  } catch (error) {
    throw fileError(whatWrite, error)
  } finally {
    closeSync(fd)
  }
}

function writeImage(path: string, name: string, definition: string): void {
  const xml = Buffer.from(definition)
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeInt32LE(xml.length)
  const what = `saving domain '${name}' to '${path}'`
  writeFile(path, `${what}: open failed`, `${what}: write failed`, MAGIC, length, xml)
}

function readImage(path: string): XmlElement {
  let bytes: Buffer
  try {
    // Nothing that is no image is read whole.
    bytes =
      statSync(path).size > MAX_DEFINITION + MAGIC.length + LENGTH_BYTES
        ? Buffer.alloc(MAGIC.length)
        : readFileSync(path)
  } catch (error) {
    const header = (error as NodeJS.ErrnoException).code === 'EISDIR'
    throw fileError(header ? `incomplete save header in '${path}'` : `cannot read domain image '${path}'`, error)
  }
  if (bytes.length < MAGIC.length) throw fileError(`incomplete save header in '${path}'`, { errno: 0, code: 'Success' })
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw internal('mismatched header magic')
  const start = MAGIC.length + LENGTH_BYTES
  if (bytes.length < start)
    throw fileError(`failed to read metadata length in '${path}'`, { errno: 0, code: 'Success' })
  const length = bytes.readInt32LE(MAGIC.length)
  if (length < 1 || length > MAX_DEFINITION) throw internal('length of metadata out of range')
  if (bytes.length < start + length) throw fileError(`incomplete metadata in '${path}'`, { errno: 0, code: 'Success' })
  return parseDomain(bytes.toString('utf8', start, start + length))
}

const unmodified = (xml: string | undefined): void => {
  if (xml !== undefined) throw argumentUnsupported('xml modification unsupported')
}

function save({ hypervisor }: Call, ref: DomainRef, path: string): void {
  const domain = hypervisor.domain(ref)
  domain.requireActive()
  writeImage(path, domain.name, domain.describe(0))
  perform(hypervisor, domain, 'save')
}

function restore({ hypervisor }: Call, path: string): void {
  const { domain } = enter(hypervisor, readImage(path), true)
  perform(hypervisor, domain, 'restore')
}

function dump({ hypervisor }: Call, ref: DomainRef, path: string, format: number, flags: number): void {
  checkFlags(flags, DUMP_CRASH, 'testDomainCoreDumpWithFormat')
  const domain = hypervisor.domain(ref)
  domain.requireActive()
  const what = `domain '${ref.name}' coredump:`
  writeFile(path, `${what} failed to open ${path}`, `${what} failed to write header to ${path}`, MAGIC)
  if (format !== RAW) throw operationUnsupported('kdump-compressed format is not supported here')
  if (flags & DUMP_CRASH) perform(hypervisor, domain, 'crash')
}

/** A saved domain cannot be asked to come back running and paused at once. */
function checkSaveFlags(flags: number): void {
  if ((flags & (SAVE.running | SAVE.paused)) !== (SAVE.running | SAVE.paused)) return
  const text = "Flags 'VIR_DOMAIN_SAVE_RUNNING' and 'VIR_DOMAIN_SAVE_PAUSED' are mutually exclusive"
  throw badArgument(text, 'virDomainManagedSave', 'flags', DOMAIN.domain)
}

/** The domain of a call with flags, which are checked first. */
function withFlags(call: Call, allowed: number, cFunction: string): Domain {
  const ref = readDomain(call.args)
  const flags = call.args.u32()
  checkSaveFlags(flags & allowed)
  checkFlags(flags, allowed, cFunction)
  return call.hypervisor.domain(ref)
}

export const domainSavingHandlers: HandlerTable = {
  [REMOTE.domainSave]: call => save(call, readDomain(call.args), resolve(call.args.string())),
  [REMOTE.domainSaveFlags]: call => {
    const ref = readDomain(call.args)
    const [path, xml] = [resolve(call.args.string()), call.args.optional(readString)]
    checkFlags(call.args.u32(), 0, 'testDomainSaveFlags')
    unmodified(xml)
    save(call, ref, path)
  },
  [REMOTE.domainRestore]: call => restore(call, resolve(call.args.string())),
  [REMOTE.domainRestoreFlags]: call => {
    const [path, xml] = [resolve(call.args.string()), call.args.optional(readString)]
    checkFlags(call.args.u32(), 0, 'testDomainRestoreFlags')
    unmodified(xml)
    restore(call, path)
  },
  [REMOTE.domainSaveImageGetXmlDesc]: ({ args, reply }) => {
    const path = resolve(args.string())
    checkFlags(args.u32(), 1, 'testDomainSaveImageGetXMLDesc')
    reply.string(printXml(readImage(path), 0, OPEN_ELEMENTS))
  },
  [REMOTE.domainSaveImageDefineXml]: ({ args }) => {
    const [path, xml] = [resolve(args.string()), args.string()]
    checkFlags(args.u32(), SAVE.running | SAVE.paused, 'testDomainSaveImageDefineXML')
    readImage(path)
    const tree = parseDomain(xml)
    writeImage(path, new Definition(tree).name, printXml(tree, 0, OPEN_ELEMENTS))
  },
  [REMOTE.domainCoreDump]: call => dump(call, readDomain(call.args), resolve(call.args.string()), RAW, call.args.u32()),
  [REMOTE.domainCoreDumpWithFormat]: call =>
    dump(call, readDomain(call.args), resolve(call.args.string()), call.args.u32(), call.args.u32()),
  [REMOTE.domainManagedSave]: call => {
    const domain = withFlags(call, SAVE.bypassCache | SAVE.running | SAVE.paused, 'testDomainManagedSave')
    domain.requireActive()
    if (!domain.persistent) throw invalid('cannot do managed save for transient domain')
    perform(call.hypervisor, domain, 'save')
    domain.managedSave = true
  },
  [REMOTE.domainHasManagedSaveImage]: call =>
    void call.reply.bool(withFlags(call, 0, 'testDomainHasManagedSaveImage').managedSave),
  [REMOTE.domainManagedSaveRemove]: call => {
    withFlags(call, 0, 'testDomainManagedSaveRemove').managedSave = false
  }
}
