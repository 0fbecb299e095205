import type { BootedHost } from './booted-host.js'

/** Units in /etc/systemd/system, with what is in them. */
type Units = Record<string, string>

const socket = (name: string): string => `[Socket]
ListenStream=/run/libvirt/${name}
RemoveOnStop=yes
[Install]
WantedBy=sockets.target
`

/**
 * A driver daemon of its own, as a host with modular daemons has it. Debian has none: libvirtd plays it, without the Conflicts= of
 * libvirt's units, so that libvirtd itself can have virtproxyd's part.
 */
export const VIRTQEMUD: Units = {
  'virtqemud.socket': socket('virtqemud-sock').replace('[Socket]', '[Socket]\nFileDescriptorName=libvirtd.socket'),
  'virtqemud.service': '[Service]\nExecStart=/usr/sbin/libvirtd --timeout 120 --pid-file /run/virtqemud.pid\nKillMode=process\n'
}

/** Debian has no virtproxyd either: something that passes bytes on to virtqemud plays it. */
export const VIRTPROXYD: Units = {
  'virtproxyd.socket': socket('libvirt-sock'),
  'virtproxyd.service': '[Service]\nExecStart=/usr/lib/systemd/systemd-socket-proxyd /run/libvirt/virtqemud-sock\n'
}

/** Brings units to a host, and switches their sockets on. */
export async function install(host: BootedHost, units: Units): Promise<void> {
  for (const [unit, text] of Object.entries(units)) await host.exec(['tee', `/etc/systemd/system/${unit}`], { input: text })
  await host.exec(['systemctl', 'daemon-reload'])
  await host.exec(['systemctl', 'enable', '--now', ...Object.keys(units).filter(unit => unit.endsWith('.socket'))])
}
