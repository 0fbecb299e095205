import { fails, ok, type ParityCommand, readonlyFails, readonlyOk } from './command.js'

const snapshotTime = /\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2} \+0000|<creationTime>\d+<\/creationTime>/g

const cpuTime = /CPU time: .*/g

/** Objects that the commands below define. Ids and addresses are given, as libvirt would draw random ones. */
export const testDriverFiles: Record<string, string> = {
  'guest.xml': `<domain type='test'>
  <name>guest</name><uuid>11111111-aaaa-4aaa-8aaa-000000000001</uuid>
  <memory unit='MiB'>256</memory><vcpu placement='static' current='1'>2</vcpu>
  <os><type>hvm</type></os>
  <devices>
    <disk type='file' device='disk'><source file='/guest.img'/><target dev='vda' bus='virtio'/></disk>
    <interface type='network'><mac address='52:54:00:aa:00:01'/><source network='default'/></interface>
    <console type='pty'/>
  </devices>
</domain>`,
  'brief.xml': `<domain type='test'>
  <name>brief</name><uuid>11111111-aaaa-4aaa-8aaa-000000000002</uuid>
  <memory>8192</memory><os><type>hvm</type></os>
</domain>`,
  'broken.xml': '<domain type="test"><name>broken</name>',
  'nameless.xml': '<domain type="test"><memory>8192</memory><os><type>hvm</type></os></domain>',
  'interface-card.xml': `<interface type='network'><mac address='52:54:00:aa:00:02'/>
    <source network='default'/></interface>`,
  'net.xml': `<network><name>lab</name><uuid>11111111-bbbb-4bbb-8bbb-000000000001</uuid>
  <bridge name='virbr9'/><mac address='52:54:00:bb:00:01'/><forward mode='nat'/>
  <ip address='192.0.2.1' netmask='255.255.255.0'>
    <dhcp><range start='192.0.2.10' end='192.0.2.20'/></dhcp></ip>
</network>`,
  'iface.xml': `<interface type='ethernet' name='eth7'><start mode='onboot'/>
  <mac address='52:54:00:cc:00:01'/><mtu size='1492'/>
  <protocol family='ipv4'><ip address='192.0.2.77' prefix='24'/></protocol></interface>`,
  'pool.xml': `<pool type='dir'><name>shelf</name><uuid>11111111-dddd-4ddd-8ddd-000000000001</uuid>
  <target><path>/shelf</path></target></pool>`,
  'volume.xml': `<volume><name>tape.img</name><capacity unit='MiB'>3</capacity>
  <target><format type='raw'/></target></volume>`,
  'vport.xml': `<device><parent>scsi_host1</parent><capability type='scsi_host'>
    <capability type='fc_host'><wwnn>2000000012341234</wwnn><wwpn>1000000012341234</wwpn></capability>
  </capability></device>`
}

/** Commands for test:///default, in the order in which they run on one connection's state. */
export const testDriverCommands: readonly ParityCommand[] = [
  // The host
  ok('hostname'),
  ok('nodeinfo'),
  ok('version'),
  ok('capabilities'),
  ok('maxvcpus'),
  ok('freecell 0'),
  ok('freecell --all'),
  ok('sysinfo'),
  ok('nodecpumap'),
  fails('freepages --all'),
  fails('domcapabilities'),
  fails('nodesuspend mem 60'),
  // Domains
  ok('list --all'),
  ok('list --all --uuid --name'),
  ok('dominfo test', cpuTime),
  ok('domid test'),
  ok('domuuid test'),
  ok('domname 6695eb01-f6a4-8304-79aa-97f2502e193f'),
  ok('domstate test --reason'),
  ok('dumpxml test'),
  ok('define @/guest.xml'),
  ok('dominfo guest', cpuTime),
  ok('dumpxml guest'),
  ok('dumpxml guest --inactive --xpath //devices/disk'),
  ok('domblklist guest'),
  ok('domiflist guest'),
  ok('start guest'),
  fails('start guest'),
  ok('domstats guest'),
  ok('vcpucount guest'),
  ok('setvcpus guest 2'),
  ok('vcpuinfo guest', cpuTime),
  ok('vcpupin guest'),
  ok('setmem guest 131072'),
  ok('setmaxmem guest 524288 --config'),
  ok('memtune guest'),
  ok('schedinfo guest'),
  ok('schedinfo guest --set weight=77'),
  ok('numatune guest'),
  ok('iothreadinfo guest'),
  ok('domtime guest', /Time: \d+/g),
  ok('domhostname guest'),
  ok('domfsinfo guest'),
  fails('guestinfo guest'),
  ok('domifaddr guest'),
  ok('domifstat guest 52:54:00:aa:00:01', /\d+$/gm),
  ok('domblkstat guest vda', /\d+$/gm),
  ok('domblkinfo guest vda'),
  ok('domblkerror guest'),
  ok('send-key guest KEY_A'),
  fails('attach-device guest @/interface-card.xml --config'),
  ok('suspend guest'),
  fails('suspend nobody'),
  ok('domstate guest --reason'),
  ok('resume guest'),
  ok('reboot guest'),
  fails('domdisplay guest'),
  ok('dump guest @/guest.core'),
  ok('save guest @/guest.save'),
  ok('save-image-dumpxml @/guest.save'),
  ok('restore @/guest.save'),
  fails('restore @/no-such-file'),
  ok('managedsave guest'),
  ok('list --all --managed-save'),
  ok('managedsave-remove guest'),
  fails('start guest --paused'),
  ok('start guest'),
  ok('reset guest'),
  ok('desc guest A guest for all tests'),
  ok('desc guest'),
  ok('metadata guest urn:parity --key note --set <note/>'),
  ok('metadata guest urn:parity'),
  ok('autostart guest'),
  ok('autostart guest --disable'),
  // Snapshots and checkpoints
  ok('snapshot-create-as guest first --description "before anything"'),
  ok('snapshot-create-as guest second'),
  ok('snapshot-list guest', snapshotTime),
  ok('snapshot-list guest --tree'),
  ok('snapshot-current guest --name'),
  ok('snapshot-info guest first'),
  ok('snapshot-dumpxml guest second', snapshotTime),
  ok('snapshot-parent guest second'),
  ok('snapshot-revert guest first'),
  fails('snapshot-delete guest nothing'),
  ok('snapshot-delete guest first --children'),
  ok('checkpoint-list guest'),
  ok('shutdown guest'),
  ok('destroy test'),
  fails('destroy test'),
  ok('domrename guest visitor'),
  ok('undefine visitor'),
  ok('create @/brief.xml'),
  ok('destroy brief'),
  fails('dominfo nobody'),
  fails('domuuid nobody'),
  fails('define @/broken.xml'),
  fails('define @/nameless.xml'),
  fails('define @/no-such-file.xml'),
  fails('undefine nobody'),
  fails('no-such-command'),
  // Networks
  ok('net-list --all'),
  ok('net-info default'),
  ok('net-dumpxml default'),
  ok('net-define @/net.xml'),
  ok('net-uuid lab'),
  ok('net-name 11111111-bbbb-4bbb-8bbb-000000000001'),
  ok('net-start lab'),
  fails('net-start lab'),
  ok('net-autostart lab'),
  ok('net-dumpxml lab'),
  ok('net-update lab add ip-dhcp-host --config --xml "<host mac=\'52:54:00:ee:00:01\' ip=\'192.0.2.15\'/>"'),
  ok('net-list --autostart'),
  ok('net-destroy lab'),
  ok('net-undefine lab'),
  fails('net-info lab'),
  fails('net-dhcp-leases default'),
  // Interfaces
  ok('iface-list --all'),
  ok('iface-dumpxml eth1'),
  ok('iface-mac eth1'),
  ok('iface-name aa:bb:cc:dd:ee:ff'),
  ok('iface-begin'),
  ok('iface-define @/iface.xml'),
  ok('iface-start eth7'),
  ok('iface-dumpxml eth7'),
  // virsh itself forgets the good end of this one
  fails('iface-destroy eth7'),
  ok('iface-undefine eth7'),
  ok('iface-rollback'),
  fails('iface-commit'),
  fails('iface-mac eth9'),
  // Storage
  ok('pool-list --all --details'),
  ok('pool-info default-pool'),
  ok('pool-define @/pool.xml'),
  ok('pool-build shelf'),
  ok('pool-start shelf'),
  ok('pool-refresh shelf'),
  ok('pool-autostart shelf'),
  ok('pool-dumpxml shelf'),
  ok('pool-uuid shelf'),
  ok('pool-name 11111111-dddd-4ddd-8ddd-000000000001'),
  ok('vol-create shelf @/volume.xml'),
  ok('vol-create-as shelf disc.img 5M --format raw'),
  fails('vol-create-as shelf disc.img 5M --format raw'),
  ok('vol-list shelf --details'),
  ok('vol-info disc.img --pool shelf'),
  ok('vol-dumpxml disc.img --pool shelf'),
  ok('vol-key disc.img --pool shelf'),
  ok('vol-path disc.img --pool shelf'),
  ok('vol-pool /shelf/disc.img'),
  ok('vol-delete disc.img --pool shelf'),
  fails('vol-info disc.img --pool shelf'),
  ok('vol-delete tape.img --pool shelf'),
  ok('pool-destroy shelf'),
  ok('pool-delete shelf'),
  ok('pool-undefine shelf'),
  fails('pool-info shelf'),
  // Node devices
  fails('nodedev-list'),
  fails('nodedev-list --tree'),
  fails('nodedev-list --cap scsi_host'),
  ok('nodedev-dumpxml scsi_host1'),
  ok('nodedev-create @/vport.xml'),
  ok('nodedev-destroy scsi_host12'),
  fails('nodedev-dumpxml nothing'),
  // What this driver lacks
  fails('secret-list'),
  fails('nwfilter-list'),
  fails('qemu-monitor-command test query-status'),
  // A read-only client
  readonlyOk('list --all'),
  readonlyOk('dominfo test', cpuTime),
  readonlyOk('net-dumpxml default'),
  readonlyOk('vol-list default-pool'),
  readonlyFails('start test'),
  readonlyFails('define @/guest.xml'),
  readonlyFails('dumpxml test --security-info'),
  readonlyFails('setmem test 4096'),
  readonlyFails('net-destroy default'),
  readonlyFails('pool-destroy default-pool'),
  readonlyFails('vol-create-as default-pool disc.img 5M'),
  readonlyFails('iface-destroy eth1')
]
