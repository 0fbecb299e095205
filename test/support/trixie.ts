import { existsSync } from 'node:fs'
import { mustRun } from './processes.js'

/** Debian 13, whose Node the broker can do with. Made once, which takes minutes; only overlays of it are written to. */
const ROOT = process.env['TRIXIE_ROOT'] ?? '/var/tmp/virtbroker-trixie'

const PACKAGES = [
  'systemd', 'dbus', 'polkitd', 'nodejs', 'libvirt-daemon-system', 'libvirt-clients', 'libsasl2-2', 'logrotate', 'iproute2', 'procps'
]

/** Renamed when it is complete: who finds it can use it. */
const script = `
set -e
test ! -e "$1" || exit 0
rm -rf "$1.new"
debootstrap --variant=minbase --include=ca-certificates trixie "$1.new"
printf '#!/bin/sh\\nexit 101\\n' > "$1.new/usr/sbin/policy-rc.d"
chmod +x "$1.new/usr/sbin/policy-rc.d"
# Debootstrap itself does not get on with what systemd wants to have configured before it.
chroot "$1.new" sh -c 'apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends install "$@"' sh $2
rm "$1.new/usr/sbin/policy-rc.d"
mv "$1.new" "$1"
`

/** The root directory of a Debian 13 with libvirt and Node. */
export async function trixieRoot(): Promise<string> {
  if (!existsSync(ROOT)) {
    await mustRun(['flock', `${ROOT}.lock`, 'sh', '-c', script, 'sh', ROOT, PACKAGES.join(' ')], { timeout: 900_000 })
  }
  return ROOT
}
