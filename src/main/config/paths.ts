import { homedir } from 'node:os'
import { join } from 'node:path'
import type { ListenerName, PassedSockets } from './listeners.js'

export interface TlsPaths {
  ca: string
  crl: string
  certificate: string
  key: string
}

/** Where things are when the configuration does not say so; libvirt's places, with our own name where files are ours. */
export interface Paths {
  /** The first of them that exists is read. */
  configFiles: readonly string[]
  runDir: string
  pidFile: string
  logFile: string
  /** In order of preference. */
  tls: readonly TlsPaths[]
}

export const PROGRAM = 'virtbrokerd'
export const SYSTEM_RUN_DIR = '/run/libvirt'
export const JOURNAL_SOCKET = '/run/systemd/journal/socket'

const SYSTEM_TLS: TlsPaths = {
  ca: '/etc/pki/CA/cacert.pem',
  crl: '/etc/pki/CA/cacrl.pem',
  certificate: '/etc/pki/libvirt/servercert.pem',
  key: '/etc/pki/libvirt/private/serverkey.pem'
}

type Environment = Readonly<Record<string, string | undefined>>

/** `privileged`: effective uid 0. An ordinary user has everything below home and the XDG directories. */
export function defaultPaths(privileged: boolean, env: Environment): Paths {
  if (privileged) {
    return {
      configFiles: configFiles('/etc/libvirt'),
      runDir: SYSTEM_RUN_DIR,
      pidFile: `/run/${PROGRAM}.pid`,
      logFile: `/var/log/libvirt/${PROGRAM}.log`,
      tls: [SYSTEM_TLS]
    }
  }
  // An empty variable counts as unset, as the XDG specification wants it.
  const home = env.HOME || homedir()
  const cache = env.XDG_CACHE_HOME || join(home, '.cache')
  const runDir = join(env.XDG_RUNTIME_DIR || cache, 'libvirt')
  const pki = join(home, '.pki/libvirt')
  return {
    configFiles: configFiles(join(env.XDG_CONFIG_HOME || join(home, '.config'), 'libvirt')),
    runDir,
    pidFile: join(runDir, `${PROGRAM}.pid`),
    logFile: join(cache, 'libvirt', `${PROGRAM}.log`),
    tls: [
      {
        ca: join(pki, 'cacert.pem'),
        crl: join(pki, 'cacrl.pem'),
        certificate: join(pki, 'servercert.pem'),
        key: join(pki, 'serverkey.pem')
      },
      SYSTEM_TLS
    ]
  }
}

/** A file of our own comes first, so that virtproxyd's can stay as it is. */
const configFiles = (dir: string): string[] => [join(dir, `${PROGRAM}.conf`), join(dir, 'virtproxyd.conf')]

export interface SocketPaths {
  main: string
  readOnly?: string
  admin?: string
}

/**
 * The UNIX sockets have libvirtd's names. An ordinary user has no read-only one, and with `unix_sock_dir` set no admin
 * socket either. Sockets that are there already are where they are; then the main one, if it is not among them, is only
 * a place beside which files can be.
 */
export function socketPaths(
  privileged: boolean,
  runDir: string,
  configuredDir: string | undefined,
  passed?: PassedSockets
): SocketPaths {
  const place = (name: ListenerName): string | undefined => passed?.get(name)?.[0]?.place
  const [readOnly, admin] = [place('readonly'), place('admin')]
  // To virtproxyd an empty one is the root directory.
  const dir = configuredDir === '' ? '/' : (configuredDir ?? runDir)
  if (passed !== undefined) {
    const main = place('main')
    return {
      main: main?.startsWith('/') ? main : join(dir, 'libvirt-sock'),
      ...(readOnly !== undefined && { readOnly }),
      ...(admin !== undefined && { admin })
    }
  }
  return {
    main: join(dir, 'libvirt-sock'),
    ...(privileged ? { readOnly: join(dir, 'libvirt-sock-ro') } : {}),
    ...(privileged || configuredDir === undefined ? { admin: join(dir, 'libvirt-admin-sock') } : {})
  }
}
