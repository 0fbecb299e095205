import { accessSync, constants, readFileSync } from 'node:fs'
import { getSystemErrorMap } from 'node:util'
import koffi from 'koffi'

/** A mechanism whose plugin has started, as the plugin describes it. */
export interface Mechanism {
  name: string
  plugin: string
  /** Bits of key that its encryption has at most; 0 is none. */
  strength: number
  security: number
  features: number
  /** The plugin keeps users of its own, and has none. */
  userless: boolean
}

/** What libsasl2 found when it started: it reads its configuration and loads its plugins once in the process. */
export interface SaslInventory {
  mechanisms: readonly Mechanism[]
  /** Names of the plugins that know where passwords are (`sasldb`, `sql`, …). */
  stores: readonly string[]
  /** Plugins whose files are in the process, also those that did not start: `plain` is of `libplain.so`. */
  loaded: ReadonlySet<string>
  /** A setting of `libvirt.conf`. */
  option: (name: string) => string | undefined
  /** Why the file that the setting names could not be read at the start. */
  keytabTrouble: string | undefined
}

const STAGE_ITEM = 1
const SASL_NOUSER = -20

/** Where things are in `server_sasl_mechanism_t`, `sasl_server_plug_t` and `sasl_auxprop_plug_t` (saslplug.h). */
const MECHANISM = { condition: 4, plugin: 8, plug: 16 } as const
const PLUG = { name: 0, strength: 8, security: 12, features: 16 } as const
const STORE = { name: 32 } as const

/** Asks the library, which must have been initialised. For the SASL thread only. */
export function takeInventory(): SaslInventory {
  const library = koffi.load('libsasl2.so.2')
  const visitor = koffi.pointer(koffi.proto('SaslPluginVisitor', 'void', ['uintptr_t', 'int', 'uintptr_t']))
  type Walk = (names: number, visit: (at: number, stage: number) => void, context: number) => number
  const walk = (name: string): Walk => library.func(name, 'int', ['uintptr_t', visitor, 'uintptr_t']) as Walk
  const found = <T>(name: string, read: (at: number) => T): T[] => {
    const items: T[] = []
    walk(name)(0, (at, stage) => void (stage === STAGE_ITEM && items.push(read(at))), 0)
    return items
  }
  // No header has it, but every libsasl2.so.2 exports it.
  const setting = library.func('str sasl_config_getstring(str, uintptr_t)') as (key: string, none: number) => string | null
  const option = (name: string): string | undefined => setting(name, 0) ?? undefined
  const keytab = option('keytab')
  return {
    mechanisms: found('sasl_server_plugin_info', mechanismAt),
    stores: found('auxprop_plugin_info', at => textAt(at + STORE.name)),
    loaded: loadedPlugins(),
    option,
    keytabTrouble: keytab === undefined ? undefined : fileTrouble(keytab)
  }
}

/** Why a file cannot be read; undefined if it can. */
export function fileTrouble(path: string): string | undefined {
  try {
    accessSync(path, constants.R_OK)
    return undefined
  } catch (error) {
    const { errno, message } = error as NodeJS.ErrnoException
    return getSystemErrorMap().get(errno ?? 0)?.[1] ?? message
  }
}

function mechanismAt(at: number): Mechanism {
  const plug = Number(koffi.decode(BigInt(at + MECHANISM.plug), 'uintptr_t'))
  return {
    name: textAt(plug + PLUG.name),
    plugin: textAt(at + MECHANISM.plugin),
    strength: numberAt(plug + PLUG.strength),
    security: numberAt(plug + PLUG.security),
    features: numberAt(plug + PLUG.features),
    userless: koffi.decode(BigInt(at + MECHANISM.condition), 'int') === SASL_NOUSER
  }
}

const numberAt = (at: number): number => koffi.decode(BigInt(at), 'uint32_t') as number
const textAt = (at: number): string => koffi.decode(BigInt(at), 'str') as string

/** The library keeps the files of plugins that did not start. */
function loadedPlugins(): ReadonlySet<string> {
  const files = readFileSync('/proc/self/maps', 'utf8').matchAll(/\/lib([^/\s]+?)\.so[^/\s]*$/gm)
  return new Set([...files].map(([, name]) => name!))
}
