import { constants } from 'node:os'
import { DOMAIN, type RemoteError, systemError } from '../../../protocol/errors.js'
import { REMOTE } from '../../../protocol/procedures.js'
import type { Call, HandlerTable } from '../call.js'
import { argumentUnsupported, badArgument, checkFlags, internal, invalid, operationUnsupported } from '../failures.js'
import { FileFailure, type PrivateFiles } from '../private-files.js'
import { type DomainRef, readDomain, readString } from '../wire.js'
import { printXml, type XmlElement } from '../xml/xml.js'
import { Definition, OPEN_ELEMENTS } from './definition.js'
import { parseDomain } from './domain-xml.js'
import type { Domain } from './domain.js'
import { enter, perform } from './life.js'

/** A saved image: these bytes, the length of the definition as a little-endian word, and the definition. */
const MAGIC = Buffer.from('TestGuestMagic\0')
const MAX_DEFINITION = 1024 * 1024
const LENGTH_BYTES = 4

const SAVE = { bypassCache: 1, running: 2, paused: 4 } as const
const DUMP_CRASH = 1
const RAW = 0

const fileError = (what: string, errno: number, text: string): RemoteError =>
  systemError(errno, `${what}: ${text}`, DOMAIN.test)
/** The file is shorter than its header says. */
const incomplete = (what: string): RemoteError => fileError(what, 0, 'Success')

/** Throws what fails in libvirt's words, which differ for opening and for writing. */
function writeFile(files: PrivateFiles, path: string, whatOpen: string, whatWrite: string, ...more: Buffer[]): void {
  try {
    files.write(path, MAGIC, ...more)
  } catch (error) {
    if (!(error instanceof FileFailure)) throw error
    throw fileError(error.step === 'open' ? whatOpen : whatWrite, error.errno, error.message)
  }
}

function writeImage(files: PrivateFiles, path: string, name: string, definition: string): void {
  const xml = Buffer.from(definition)
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeInt32LE(xml.length)
  const what = `saving domain '${name}' to '${path}'`
  writeFile(files, path, `${what}: open failed`, `${what}: write failed`, length, xml)
}

function readBytes(files: PrivateFiles, path: string): Buffer {
  try {
    return files.read(path, MAGIC.length + LENGTH_BYTES + MAX_DEFINITION)
  } catch (error) {
    if (!(error instanceof FileFailure)) throw error
    // libvirt opens a directory, and fails when it reads.
    const opened = error.errno === constants.errno.EISDIR
    const what = opened ? `incomplete save header in '${path}'` : `cannot read domain image '${path}'`
    throw fileError(what, error.errno, error.message)
  }
}

function readImage(files: PrivateFiles, path: string): XmlElement {
  const bytes = readBytes(files, path)
  if (bytes.length < MAGIC.length) throw incomplete(`incomplete save header in '${path}'`)
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw internal('mismatched header magic')
  const start = MAGIC.length + LENGTH_BYTES
  if (bytes.length < start) throw incomplete(`failed to read metadata length in '${path}'`)
  const length = bytes.readInt32LE(MAGIC.length)
  if (length < 1 || length > MAX_DEFINITION) throw internal('length of metadata out of range')
  if (bytes.length < start + length) throw incomplete(`incomplete metadata in '${path}'`)
  return parseDomain(bytes.toString('utf8', start, start + length))
}

const unmodified = (xml: string | undefined): void => {
  if (xml !== undefined) throw argumentUnsupported('xml modification unsupported')
}

function save({ hypervisor }: Call, ref: DomainRef, path: string): void {
  const domain = hypervisor.domain(ref)
  domain.requireActive()
  writeImage(hypervisor.files, path, domain.name, domain.describe(0))
  perform(hypervisor, domain, 'save')
}

function restore({ hypervisor }: Call, path: string): void {
  const { domain } = enter(hypervisor, readImage(hypervisor.files, path), true)
  perform(hypervisor, domain, 'restore')
}

function dump({ hypervisor }: Call, ref: DomainRef, path: string, format: number, flags: number): void {
  checkFlags(flags, DUMP_CRASH, 'testDomainCoreDumpWithFormat')
  const domain = hypervisor.domain(ref)
  domain.requireActive()
  const what = `domain '${ref.name}' coredump:`
  writeFile(hypervisor.files, path, `${what} failed to open ${path}`, `${what} failed to write header to ${path}`)
  if (format !== RAW) throw operationUnsupported('kdump-compressed format is not supported here')
  if (flags & DUMP_CRASH) perform(hypervisor, domain, 'crash')
}

const readPath = ({ hypervisor, args }: Call): string => hypervisor.files.resolve(args.string())

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
  [REMOTE.domainSave]: call => save(call, readDomain(call.args), readPath(call)),
  [REMOTE.domainSaveFlags]: call => {
    const ref = readDomain(call.args)
    const [path, xml] = [readPath(call), call.args.optional(readString)]
    checkFlags(call.args.u32(), 0, 'testDomainSaveFlags')
    unmodified(xml)
    save(call, ref, path)
  },
  [REMOTE.domainRestore]: call => restore(call, readPath(call)),
  [REMOTE.domainRestoreFlags]: call => {
    const [path, xml] = [readPath(call), call.args.optional(readString)]
    checkFlags(call.args.u32(), 0, 'testDomainRestoreFlags')
    unmodified(xml)
    restore(call, path)
  },
  [REMOTE.domainSaveImageGetXmlDesc]: call => {
    const path = readPath(call)
    checkFlags(call.args.u32(), 1, 'testDomainSaveImageGetXMLDesc')
    call.reply.string(printXml(readImage(call.hypervisor.files, path), 0, OPEN_ELEMENTS))
  },
  [REMOTE.domainSaveImageDefineXml]: call => {
    const [path, xml] = [readPath(call), call.args.string()]
    checkFlags(call.args.u32(), SAVE.running | SAVE.paused, 'testDomainSaveImageDefineXML')
    const { files } = call.hypervisor
    readImage(files, path)
    const tree = parseDomain(xml)
    writeImage(files, path, new Definition(tree).name, printXml(tree, 0, OPEN_ELEMENTS))
  },
  [REMOTE.domainCoreDump]: call => dump(call, readDomain(call.args), readPath(call), RAW, call.args.u32()),
  [REMOTE.domainCoreDumpWithFormat]: call =>
    dump(call, readDomain(call.args), readPath(call), call.args.u32(), call.args.u32()),
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
