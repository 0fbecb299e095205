import { existsSync, readFileSync } from 'node:fs'
import { mustRun } from './processes.js'

export type Release = 'bookworm' | 'trixie' | 'sid'

const PACKAGES = ['systemd', 'dbus', 'polkitd', 'libvirt-daemon-system', 'libvirt-clients', 'libsasl2-2', 'logrotate', 'iproute2', 'procps']

/**
 * Renamed when it is complete: who finds it can use it. Debootstrap itself does not get on with what systemd wants to have
 * configured before it. A mirror that is behind serves as well.
 */
const script = `
set -e
test ! -e "$1" || exit 0
root=$1.new
rm -rf "$root"
debootstrap --variant=minbase --include=ca-certificates "$2" "$root"
printf '#!/bin/sh\\nexit 101\\n' > "$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
shift 2
chroot "$root" sh -c 'apt-get -q -o Acquire::Check-Valid-Until=false update
DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends install "$@"
apt-get clean' sh "$@"
rm "$root/usr/sbin/policy-rc.d"
mv "$root" "\${root%.new}"
`

/**
 * The root directory of a Debian with libvirt, and with Node where that has one that the broker can do with. Made once,
 * which takes most of a minute, and never written to: it is for overlays. TRIXIE_ROOT and its like name one that is there.
 */
export async function debianRoot(release: Release): Promise<string> {
  if (release === 'bookworm' && readFileSync('/etc/os-release', 'utf8').includes('VERSION_CODENAME=bookworm\n')) return '/'
  const root = process.env[`${release.toUpperCase()}_ROOT`] ?? `/var/tmp/virtbroker-${release}`
  if (!existsSync(root)) {
    const packages = release === 'bookworm' ? PACKAGES : ['nodejs', ...PACKAGES]
    await mustRun(['flock', `${root}.lock`, 'sh', '-c', script, 'sh', root, release, ...packages], { timeout: 900_000 })
  }
  return root
}
