import { execFileSync, spawnSync } from 'node:child_process'
import type { Context, Suite } from 'mocha'

/** The Debian packages with the real clients, daemons and tools that the daemon and interop tests use. */
const packages = [
  'libvirt-daemon', 'libvirt-daemon-system', 'libvirt-clients', 'libvirt-wireshark', 'python3-libvirt',
  'qemu-system-x86', 'qemu-utils', 'gnutls-bin', 'openssl', 'tshark', 'netcat-openbsd', 'polkitd', 'dbus-daemon',
  'dbus-bin', 'sasl2-bin', 'libsasl2-modules', 'libsasl2-modules-db', 'libsasl2-modules-gssapi-mit',
  'krb5-kdc', 'krb5-admin-server', 'krb5-user', 'haproxy',
  'iproute2', 'util-linux', 'procps', 'diffutils', 'libnss-systemd', 'sudo'
]

/** What only some files want: those that build and try packages, that watch brokers, look at the page, and unpack another release. */
const forSome: readonly [files: RegExp, packages: readonly string[]][] = [
  [/\/test\/interop\/(debian-|rpm-|container\.)/, ['debootstrap', 'lintian', 'binutils', 'podman', 'runc', 'rpm', 'cpio']],
  [/\/test\/interop\/prometheus\./, ['prometheus']],
  [/\/test\/interop\/shared-clients\./, ['prometheus-libvirt-exporter']],
  [/\/test\/page\//, ['chromium', 'fonts-dejavu-core']],
  [/\/test\/interop\/(virt-admin-releases|admin-protocol|fleet)\./, ['mmdebstrap']]
]

const LOCK = '/tmp/virtbroker-test-packages.lock'

const installation = 'apt-get update -q && apt-get install -q -y --no-install-recommends "$@"'

/** Suites in these folders need nothing but Node. */
const selfContained = /\/test\/(unit|session)\//

/** Those that are not installed. */
function missingPackages(packages: readonly string[]): string[] {
  const query = spawnSync('dpkg-query', ['-W', '-f', '${Package} ${db:Status-Status}\n', ...packages], {
    encoding: 'utf8'
  })
  if (query.error !== undefined) throw new Error('the interop tests need Debian or a descendant: no dpkg-query here')
  const installed = new Set<string>()
  for (const line of query.stdout.split('\n')) {
    const [name, status] = line.split(' ')
    if (name !== undefined && status === 'installed') installed.add(name)
  }
  return packages.filter(name => !installed.has(name))
}

/** Installs what is missing, or throws: a test that cannot meet the real libvirt has failed, it is never skipped. */
function installPackages(packages: readonly string[]): void {
  const missing = missingPackages(packages)
  if (missing.length === 0) return
  const wanted = `the tests need the Debian packages ${missing.join(' ')}`
  if (process.getuid?.() !== 0) {
    throw new Error(`${wanted}; install them (apt-get install --no-install-recommends ${missing.join(' ')})`)
  }
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  try {
    // Files that run side by side each want them: one installs, and the others, which wait, have nothing left to do.
    execFileSync('flock', [LOCK, 'sh', '-c', installation, 'sh', ...missing], {
      env, stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8'
    })
  } catch (error) {
    const output = error instanceof Error && 'stderr' in error ? String(error.stderr) : ''
    throw new Error(`${wanted}, and they could not be installed:\n${output}`, { cause: error })
  }
  const still = missingPackages(packages)
  if (still.length > 0) throw new Error(`${wanted}, and apt-get did not install ${still.join(' ')}`)
}

/** All suites of this mocha run that are not self-contained. */
function needsRealComponents(root: Suite): boolean {
  return root.suites.some(suite => !selfContained.test(suite.file ?? ''))
}

/**
 * A process of mocha's that dies between two test files leaves mocha without anything to wait for, and it would end with 0.
 * The exit code is mocha's when it has counted the failures, and not before.
 */
export function mochaGlobalSetup(): void {
  process.exitCode = 1
}

/** Root hooks, loaded through "require" in .mocharc.json. */
export const mochaHooks = {
  beforeAll(this: Context): void {
    this.timeout(900_000)
    const root = this.test?.parent
    if (root === undefined || !needsRealComponents(root)) return
    const wanted = forSome.filter(([files]) => root.suites.some(({ file }) => files.test(file ?? '')))
    installPackages([...packages, ...wanted.flatMap(([, some]) => some)])
  }
}
