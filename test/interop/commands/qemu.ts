import { fails, ok, type ParityCommand, readonlyFails, readonlyOk } from './command.js'

/** A pool's place on the private host, where the tests mount a file system that nobody else fills. */
export const poolPath = '/var/lib/libvirt/images'

const snapshotTime = /\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2} \+0000|<creationTime>\d+<\/creationTime>/g
const fileTimes = /<[amc]time>[\d.]+<\/[amc]time>/g
const cpuTime = /CPU time: .*/g
/** A machine may be a guest itself, whose memory grows and shrinks; processors change their frequency. */
const machine = /(Memory size: +|CPU frequency: +|<memory unit='KiB'>|<pages [^>]*>|counter name='tsc' frequency=')\d+/g
/** Times, and how much memory the emulator has in core. */
const statistics = /(vcpu\.\d+\.[\w.]+=|balloon\.rss=|times?=|_times )\d+/g
const jobTime = /Time (elapsed|remaining).*/g

/** Objects that the commands below define. Ids and addresses are given, as libvirt would draw random ones. */
export const qemuFiles: Record<string, string> = {
  'guest.xml': `<domain type='qemu'>
  <name>guest</name><uuid>22222222-aaaa-4aaa-8aaa-000000000001</uuid>
  <memory unit='MiB'>32</memory><vcpu current='1'>2</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
      <source file='${poolPath}/boot.qcow2'/><target dev='vda' bus='virtio'/></disk>
    <serial type='null'/>
    <video><model type='vga'/></video>
  </devices>
</domain>`,
  'bad-machine.xml': `<domain type='qemu'><name>bad</name><memory>8192</memory>
  <os><type arch='x86_64' machine='no-such-machine'>hvm</type></os></domain>`,
  'bad-type.xml': '<domain type="vax"><name>bad</name><memory>8192</memory><os><type>hvm</type></os></domain>',
  'broken.xml': '<domain type="qemu"><name>broken</name>',
  'disk.xml': `<disk type='file' device='disk'><driver name='qemu' type='raw'/>
  <source file='${poolPath}/data.img'/><target dev='vdb' bus='virtio'/></disk>`,
  'arguments.txt': '/usr/bin/qemu-system-x86_64 -m 64 -nographic\n',
  'secret.xml': `<secret ephemeral='no' private='no'><uuid>22222222-eeee-4eee-8eee-000000000001</uuid>
  <description>key of a volume</description>
  <usage type='volume'><volume>${poolPath}/locked.img</volume></usage></secret>`,
  'private-secret.xml': `<secret ephemeral='yes' private='yes'><uuid>22222222-eeee-4eee-8eee-000000000002</uuid>
  <usage type='ceph'><name>hidden</name></usage></secret>`,
  'secret.value': 'open sesame',
  'filter.xml': `<filter name='no-smtp' chain='ipv4'><uuid>22222222-ffff-4fff-8fff-000000000001</uuid>
  <rule action='drop' direction='out' priority='500'><tcp dstportstart='25'/></rule></filter>`,
  'bad-filter.xml': '<filter name="no-name"><rule action="perhaps" direction="out"/></filter>',
  'net.xml': `<network><name>wire</name><uuid>22222222-bbbb-4bbb-8bbb-000000000001</uuid>
  <bridge name='vbwire0'/><mac address='52:54:00:bb:00:02'/></network>`,
  'port.xml': `<networkport><uuid>22222222-bbbb-4bbb-8bbb-000000000009</uuid>
  <owner><name>guest</name><uuid>22222222-aaaa-4aaa-8aaa-000000000001</uuid></owner>
  <mac address='52:54:00:bb:00:03'/></networkport>`,
  'pool.xml': `<pool type='dir'><name>images</name><uuid>22222222-dddd-4ddd-8ddd-000000000001</uuid>
  <target><path>${poolPath}</path></target></pool>`,
  'volume.xml': `<volume><name>boot.qcow2</name><capacity unit='MiB'>8</capacity>
  <target><format type='qcow2'/></target></volume>`,
  'clone.xml': '<volume><name>twin.qcow2</name><target><format type="qcow2"/></target></volume>',
  'snapshot.xml': '<domainsnapshot><name>second</name><description>by XML</description></domainsnapshot>',
  payload: 'sixteen bytes...'.repeat(4096)
}

/** Commands for qemu:///system, in the order in which they run. */
export const qemuCommands: readonly ParityCommand[] = [
  // The host
  ok('hostname'),
  ok('nodeinfo', machine),
  ok('version --daemon'),
  ok('capabilities', machine),
  ok('domcapabilities'),
  ok('domcapabilities --virttype qemu --arch i686'),
  ok('maxvcpus qemu'),
  ok('cpu-models x86_64'),
  ok('nodecpumap'),
  ok('nodecpustats', / +\d+$/gm),
  ok('nodememstats', / +\d+ KiB/g),
  ok('freepages --all', / +\d+$/gm),
  fails('domcapabilities --arch vax'),
  fails('cpu-models vax'),
  // Storage
  ok('pool-define @/pool.xml'),
  fails('pool-define @/broken.xml'),
  ok('pool-build images'),
  ok('pool-start images'),
  ok('pool-info images --bytes'),
  ok('pool-dumpxml images'),
  ok('pool-autostart images'),
  ok('pool-list --all --details'),
  ok('pool-event --list'),
  ok('pool-capabilities'),
  ok('vol-create images @/volume.xml'),
  ok('vol-create-as images data.img 1M --format raw'),
  fails('vol-create-as images data.img 1M --format raw'),
  fails('vol-create-as images huge.img 1000P --format raw'),
  ok('vol-info boot.qcow2 --pool images --bytes'),
  ok('vol-dumpxml boot.qcow2 --pool images', fileTimes),
  ok('vol-list images --details'),
  ok('vol-upload data.img @/payload --pool images'),
  ok('vol-download data.img @/fetched --pool images'),
  fails('vol-upload data.img @/no-such-file --pool images'),
  fails('vol-download data.img @/fetched --pool images --offset 99M'),
  ok('vol-resize data.img 2M --pool images'),
  ok('vol-clone boot.qcow2 twin.qcow2 --pool images'),
  fails('vol-create-from images @/clone.xml boot.qcow2 --inputpool images'),
  ok('vol-wipe twin.qcow2 --pool images'),
  ok('vol-delete twin.qcow2 --pool images'),
  fails('vol-delete twin.qcow2 --pool images'),
  ok(`vol-key ${poolPath}/data.img`),
  ok(`vol-pool ${poolPath}/data.img`),
  // Domains
  ok('define @/guest.xml'),
  fails('define @/bad-machine.xml'),
  fails('define @/bad-type.xml'),
  fails('define @/broken.xml'),
  ok('list --all'),
  ok('dominfo guest'),
  ok('dumpxml guest'),
  ok('domstate guest --reason'),
  ok('domblklist guest --details'),
  ok('domblkinfo guest vda'),
  ok('domxml-to-native qemu-argv --domain guest'),
  fails('domxml-from-native qemu-argv @/arguments.txt'),
  ok('vcpucount guest'),
  ok('setvcpus guest 2 --config'),
  ok('setmaxmem guest 65536 --config'),
  fails('setmem guest 999999999 --config'),
  ok('memtune guest --config'),
  ok('blkiotune guest --config'),
  ok('blkdeviotune guest vda --config --total-iops-sec 77'),
  ok('blkdeviotune guest vda --config'),
  ok('schedinfo guest --config'),
  ok('numatune guest --config --nodeset 0'),
  ok('vcpupin guest --config 0 0'),
  ok('iothreadadd guest 3 --config'),
  ok('iothreadinfo guest --config'),
  ok('attach-device guest @/disk.xml --config'),
  fails('attach-device guest @/disk.xml --config'),
  ok('detach-disk guest vdb --config'),
  ok('desc guest --config --title A title'),
  ok('metadata guest urn:parity --config --key note --set <note/>'),
  ok('autostart guest'),
  ok('snapshot-create-as guest first'),
  ok('snapshot-create guest @/snapshot.xml'),
  ok('snapshot-list guest --parent', snapshotTime),
  ok('snapshot-dumpxml guest second', snapshotTime),
  ok('snapshot-revert guest first'),
  ok('snapshot-delete guest first --children'),
  fails('snapshot-info guest first'),
  ok('start guest --paused'),
  fails('start guest'),
  ok('domid guest'),
  ok('domstate guest --reason'),
  ok('dumpxml guest'),
  ok('domstats guest --state --balloon --vcpu --block', statistics),
  ok('vcpuinfo guest', cpuTime, /CPU: .*/g),
  ok('domjobinfo guest', jobTime),
  ok('dominfo guest', cpuTime),
  ok('domblkstat guest vda', statistics),
  ok('domcontrol guest'),
  ok('qemu-monitor-command guest {"execute":"query-status"}', /libvirt-\d+/g),
  ok('qemu-monitor-command guest --hmp info version'),
  ok('qemu-monitor-command guest --hmp no-such-command'),
  fails('qemu-agent-command guest {"execute":"guest-ping"}'),
  fails('domifstat guest nothing'),
  ok('attach-device guest @/disk.xml --live'),
  ok('domblklist guest'),
  ok('destroy guest'),
  fails('destroy guest'),
  ok('managedsave-remove guest'),
  ok('undefine guest --nvram'),
  fails('dominfo guest'),
  // Secrets
  ok('secret-define @/secret.xml'),
  ok('secret-define @/private-secret.xml'),
  ok('secret-list'),
  ok('secret-dumpxml 22222222-eeee-4eee-8eee-000000000001'),
  fails('secret-get-value 22222222-eeee-4eee-8eee-000000000001'),
  ok('secret-set-value 22222222-eeee-4eee-8eee-000000000001 --file @/secret.value --plain'),
  ok('secret-get-value 22222222-eeee-4eee-8eee-000000000001 --plain'),
  ok('secret-set-value 22222222-eeee-4eee-8eee-000000000002 --file @/secret.value --plain'),
  fails('secret-get-value 22222222-eeee-4eee-8eee-000000000002'),
  ok('secret-undefine 22222222-eeee-4eee-8eee-000000000001'),
  fails('secret-undefine 22222222-eeee-4eee-8eee-000000000001'),
  // Network filters
  ok('nwfilter-define @/filter.xml'),
  ok('nwfilter-list'),
  ok('nwfilter-dumpxml no-smtp'),
  ok('nwfilter-binding-list'),
  fails('nwfilter-define @/bad-filter.xml'),
  ok('nwfilter-undefine no-smtp'),
  fails('nwfilter-dumpxml no-smtp'),
  // Networks
  ok('net-define @/net.xml'),
  ok('net-start wire'),
  ok('net-info wire'),
  ok('net-dumpxml wire'),
  ok('net-port-create wire @/port.xml'),
  ok('net-port-list wire'),
  ok('net-port-dumpxml wire 22222222-bbbb-4bbb-8bbb-000000000009'),
  ok('net-port-delete wire 22222222-bbbb-4bbb-8bbb-000000000009'),
  ok('net-dhcp-leases wire'),
  ok('net-destroy wire'),
  ok('net-undefine wire'),
  fails('net-start wire'),
  // Node devices and interfaces of the machine
  ok('nodedev-list'),
  ok('nodedev-list --tree'),
  ok('nodedev-dumpxml computer', machine),
  ok('nodedev-info computer'),
  fails('nodedev-dumpxml nothing'),
  ok('iface-list --all'),
  ok('iface-dumpxml lo'),
  fails('iface-start lo'),
  // A read-only client
  readonlyOk('list --all'),
  readonlyOk('vol-list images'),
  readonlyFails('vol-download data.img @/fetched --pool images'),
  readonlyFails('define @/guest.xml'),
  readonlyFails('pool-destroy images'),
  readonlyFails('secret-get-value 22222222-eeee-4eee-8eee-000000000002'),
  readonlyFails('nwfilter-define @/filter.xml'),
  readonlyFails('net-create @/net.xml'),
  // And the storage goes away
  ok('vol-delete data.img --pool images'),
  ok('vol-delete boot.qcow2 --pool images'),
  ok('pool-destroy images'),
  ok('pool-undefine images'),
  fails('pool-start images')
]
