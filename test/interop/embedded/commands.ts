const SECRET = '11111111-eeee-4eee-8eee-000000000001'
const NEEDS_SECRETS = 'ours has secrets, libvirt’s test driver has none'
const NEEDS_BYTES = 'ours keeps the bytes of volumes, libvirt’s test driver has no volume streams, resize or wipe'
const ELSEWHERE = 'ours has files in a directory of its own only, and denies all others'
const NEWER = 'libvirt 9.0’s test driver fails here, later releases and ours do not'

/** A command line, and why the two drivers answer it differently if they do. */
export type Row = readonly [command: string, reason?: string]

const same = (...commands: string[]): Row[] => commands.map(command => [command])

/** Each list is run by one virsh, on a hypervisor that is as new. `@` is the directory of the files. */
export const LISTS: Readonly<Record<string, readonly Row[]>> = {
  host: [
    ['uri', 'the two have different sockets'],
    ...same('hostname', 'version', 'version --daemon', 'capabilities', 'sysinfo', 'nodeinfo', 'nodecpustats'),
    ...same('nodecpumap', 'nodememstats', 'freecell', 'freecell --all', 'freecell 0', 'freecell 7', 'node-memory-tune'),
    ...same('maxvcpus', 'cpu-models x86_64', 'cpu-models ppc64', 'cpu-models nonsense', 'nodesuspend mem 60'),
    ['domcapabilities', NEWER],
    ['freepages --all', NEWER]
  ],
  looking: [
    ...same('list', 'list --all', 'list --all --title', 'list --all --name', 'list --inactive', 'list --uuid --all'),
    ...same('list --all --state-paused', 'list --all --managed-save', 'list --all --with-snapshot', 'list --transient'),
    ...same('domid test', 'domname 1', 'domuuid test', 'dominfo test', 'domstate test', 'domstate test --reason'),
    ...same('domstats', 'domstats test', 'domstats --vcpu --enforce', 'dumpxml test', 'dumpxml test --inactive'),
    ...same('dumpxml test --security-info', 'dumpxml test --migratable', 'dumpxml test --update-cpu'),
    ...same('domblklist test', 'domblklist test --details', 'domiflist test', 'domblkinfo test vda'),
    ...same('domblkinfo test /guest/diskimage1', 'domblkinfo test xx', 'domblkstat test vda', 'domblkstat test xx'),
    ...same('domblkstat test', 'domblkerror test', 'domifstat test testnet0', 'domifstat test xx'),
    ...same('domif-getlink test testnet0', 'domifaddr test', 'domifaddr test --source agent', 'domdisplay test'),
    ...same('dommemstat test', 'domtime test', 'domhostname test', 'domcontrol test', 'domfsinfo test'),
    ...same('domjobinfo test', 'guestinfo test', 'ttyconsole test', 'vcpuinfo test', 'vcpucount test', 'vcpupin test'),
    ...same(
      'emulatorpin test',
      'iothreadinfo test',
      'schedinfo test',
      'schedinfo test --set weight=77',
      'memtune test'
    ),
    ...same('blkiotune test', 'blkdeviotune test vda', 'blkdeviotune test xx', 'numatune test', 'cpu-stats test'),
    ...same('cpu-stats test --total', 'perf test', 'desc test', 'metadata test http://a/b', 'snapshot-list test'),
    ...same('snapshot-current test', 'snapshot-info test s1', 'checkpoint-list test', 'domif-getlink test xx'),
    ...same('domid nosuch', 'domname 77', 'domuuid 11111111-aaaa-4aaa-8aaa-000000000099', 'domiftune test testnet0'),
    ...same('domlaunchsecinfo test', 'dirtyrate-calc test'),
    ...same('screenshot test @/screen-SIDE')
  ],
  defining: [
    ...same('define @/dom.xml', 'dumpxml vm2', 'domiflist vm2', 'domblklist vm2', 'define @/full.xml', 'dumpxml full'),
    ...same(
      'dominfo full',
      'vcpucount full',
      'desc full',
      'desc full --title',
      'metadata full http://a/b',
      'start vm2'
    ),
    ...same('dumpxml vm2', 'domdisplay vm2', 'ttyconsole vm2', 'vcpuinfo vm2', 'domifaddr vm2', 'domfsinfo vm2'),
    ...same('domblkerror vm2', 'dommemstat full', 'define @/dom.xml', 'dominfo vm2', 'create @/transient.xml'),
    ...same('dominfo vm3', 'undefine vm3', 'destroy vm3', 'list --all', 'define --validate @/transient.xml'),
    ...same('undefine vm3', 'destroy vm2', 'undefine vm2', 'undefine full', 'undefine full', 'list --all'),
    ['define @/unknown.xml'],
    ['dumpxml odd', 'ours keeps elements that it does not know'],
    ['define --validate @/unknown.xml', 'ours has no schema to check against, and accepts'],
    ...same('define @/root.xml', 'define @/text.xml', 'define @/open.xml', 'define @/crossed.xml', 'define @/two.xml'),
    ...same('define @/entity.xml', 'define @/nameless.xml', 'define @/osless.xml', 'define @/memoryless.xml'),
    ...same('define @/kind.xml', 'define @/unit.xml', 'define @/uuid.xml', 'define @/vcpu.xml', 'define @/slash.xml'),
    ...same('define @/taken.xml', 'create @/taken.xml', 'define @/renamed.xml', 'define @/disk.xml', 'define @/mac.xml')
  ],
  life: [
    ...same(
      'suspend test',
      'domstate test --reason',
      'suspend test',
      'resume test',
      'resume test',
      'domstate test --reason'
    ),
    ...same(
      'reboot test',
      'reset test',
      'shutdown test --mode acpi',
      'start test',
      'shutdown test',
      'domstate test --reason'
    ),
    ...same('shutdown test', 'domtime test', 'dommemstat test', 'vcpuinfo test', 'domhostname test', 'reboot test'),
    ...same(
      'start test',
      'domid test',
      'destroy test',
      'destroy test',
      'start test --paused',
      'start test --force-boot'
    ),
    ...same('start test', 'destroy test --graceful', 'autostart test', 'dominfo test', 'list --all --autostart'),
    ...same(
      'autostart test --disable',
      'list --all --autostart',
      'domrename test vmx',
      'dumpxml vmx',
      'domrename vmx a/b'
    ),
    ...same('domrename vmx vmx', 'start vmx', 'domrename vmx other', 'undefine vmx', 'list --all', 'reset vmx'),
    ...same('destroy vmx', 'list --all', 'destroy test', 'start nosuch', 'undefine --nvram vmx')
  ],
  changing: [
    ...same(
      'setvcpus test 1',
      'vcpucount test',
      'setvcpus test 3',
      'setvcpus test 40',
      'setvcpus test 3 --maximum --config'
    ),
    ...same(
      'vcpucount test',
      'setmem test 1048576',
      'setmem test 99999999',
      'setmem test 1 --config --live',
      'dominfo test'
    ),
    ...same('setmaxmem test 1000', 'setmaxmem test 8388600 --config', 'dumpxml test --inactive', 'dumpxml test'),
    ...same(
      'vcpupin test 0 0-3',
      'vcpupin test 1 2',
      'vcpupin test',
      'vcpupin test 9 1',
      'emulatorpin test 1',
      'emulatorpin test'
    ),
    ...same('memtune test --hard-limit 2000 --swap-hard-limit 4000', 'memtune test', 'memtune test --hard-limit 5000'),
    ...same(
      'blkiotune test --weight 300',
      'blkiotune test --device-weights /dev/sda,500',
      'blkiotune test',
      'numatune test --nodeset 0'
    ),
    ...same('numatune test', 'numatune test --mode preferred', 'blkdeviotune test vda --total-bytes-sec 5'),
    ...same('blkdeviotune test vda --total-bytes-sec 5 --total-bytes-sec-max 9', 'blkdeviotune test vda'),
    ...same(
      'blkdeviotune test vda --total-bytes-sec 5 --read-bytes-sec 5',
      'domiftune test testnet0 --inbound 100,200'
    ),
    ...same(
      'domiftune test testnet0',
      'perf test --enable cmt',
      'perf test',
      'set-lifecycle-action test reboot destroy'
    ),
    ...same(
      'dommemstat test --period 5',
      'dumpxml test',
      'send-key test KEY_ENTER',
      'send-key test 9999',
      'inject-nmi test'
    ),
    ...same(
      'desc test --new-desc abc',
      'desc test --title --new-desc short',
      'desc test',
      'desc test --title',
      'list --title'
    ),
    ...same(
      'metadata test http://x --key k --set "<z/>"',
      'metadata test http://x',
      'dumpxml test',
      'metadata test http://x --remove'
    ),
    ...same('metadata test http://x', 'domtime test --time 500', 'domtime test', 'domcontrol test', 'domfsfreeze test'),
    ...same(
      'domfsthaw test --mountpoint /',
      'domfsthaw test --mountpoint /x',
      'domfstrim test',
      'set-user-password test a b'
    ),
    ...same('attach-device test @/iface-dev.xml', 'detach-disk test vda', 'domif-setlink test testnet0 down'),
    ...same('qemu-monitor-command test info', 'migrate test test:///default', 'iothreadadd test 1')
  ],
  saving: [
    ...same('managedsave test', 'domstate test --reason', 'dominfo test', 'list --all --managed-save', 'undefine test'),
    ...same('managedsave-remove test', 'managedsave-remove test', 'managedsave test', 'start test', 'dominfo test'),
    ...same(
      'save test @/saved-SIDE',
      'domstate test --reason',
      'save test @/saved-SIDE',
      'restore @/saved-SIDE',
      'domstate test --reason'
    ),
    ...same('restore @/saved-SIDE', 'save-image-dumpxml @/saved-SIDE', 'restore @/missing', 'restore @/dom.xml'),
    ['save test /missing/x', ELSEWHERE],
    ['dump test /missing/x', ELSEWHERE],
    ...same(
      'save test @/missing/x',
      'dump test @/missing/x',
      'dump test @/dumped-SIDE',
      'dump test @/dumped-SIDE --crash'
    ),
    ...same('domstate test --reason', 'managedsave test', 'undefine test --managed-save', 'list --all'),
    ...same('save-image-dumpxml @/missing', 'restore @/folder', 'save-image-dumpxml @/folder'),
    ['restore /proc', ELSEWHERE],
    ['restore /missing', ELSEWHERE],
    ['save-image-dumpxml /missing', ELSEWHERE]
  ],
  snapshots: [
    ...same(
      'snapshot-create test @/snap.xml',
      'snapshot-list test',
      'snapshot-info test s1',
      'snapshot-dumpxml test s1'
    ),
    ...same(
      'snapshot-create-as test s2',
      'snapshot-create-as test s2',
      'snapshot-list test --tree',
      'snapshot-parent test s2'
    ),
    ...same(
      'snapshot-parent test s1',
      'snapshot-current test --name',
      'snapshot-list test --roots',
      'snapshot-list test --leaves'
    ),
    ...same('snapshot-list test s1 --descendants', 'suspend test', 'snapshot-create-as test s3', 'resume test'),
    ...same(
      'snapshot-revert test s3',
      'domstate test --reason',
      'snapshot-revert test nosuch',
      'snapshot-info test s3'
    ),
    ...same(
      'snapshot-delete test s2',
      'snapshot-list test --tree',
      'snapshot-create-as test s4 --halt',
      'domstate test --reason'
    ),
    ...same(
      'undefine test',
      'list --all --with-snapshot',
      'snapshot-create-as test s5 --disk-only',
      'snapshot-create test @/root.xml'
    ),
    ...same(
      'snapshot-delete test s1 --children',
      'snapshot-list test',
      'snapshot-create-as test off',
      'snapshot-dumpxml test off'
    ),
    ...same(
      'start test',
      'snapshot-revert test off',
      'domstate test --reason',
      'undefine test --snapshots-metadata',
      'list --all'
    )
  ],
  checkpoints: [
    ...same(
      'checkpoint-create-as test c1',
      'checkpoint-list test',
      'checkpoint-dumpxml test c1',
      'checkpoint-info test c1'
    ),
    ...same(
      'checkpoint-create-as test c2',
      'checkpoint-list test --tree',
      'checkpoint-parent test c2',
      'snapshot-create-as test s'
    ),
    ...same('checkpoint-delete test c1', 'checkpoint-list test', 'checkpoint-dumpxml test c1')
  ],
  networks: [
    ...same(
      'net-list',
      'net-list --all',
      'net-info default',
      'net-uuid default',
      'net-dumpxml default',
      'net-define @/net.xml'
    ),
    ...same('net-name dd8fe884-6c02-601e-7551-cca97df1c5df', 'net-dumpxml net2', 'net-start net2', 'net-start net2'),
    ...same('net-autostart net2', 'net-list --all', 'net-update net2 add ip-dhcp-host @/host.xml', 'net-dumpxml net2'),
    ...same('net-update net2 delete ip-dhcp-host @/host.xml', 'net-update net2 delete ip-dhcp-host @/host.xml'),
    ...same('net-update net2 modify ip-dhcp-host @/host.xml', 'net-update net2 add ip-dhcp-range @/range.xml'),
    ...same('net-update net2 add bridge @/range.xml', 'net-undefine net2', 'net-destroy net2', 'net-undefine net2'),
    ...same('net-create @/net3.xml', 'net-dumpxml net3', 'net-info net3', 'net-destroy net3', 'net-list --all'),
    ...same(
      'net-define @/net4.xml',
      'net-dumpxml net4',
      'net-info net4',
      'net-dhcp-leases default',
      'net-port-list default'
    ),
    ...same(
      'net-dumpxml default --inactive',
      'net-info nosuch',
      'net-define @/net-name.xml',
      'net-define @/net-taken.xml'
    ),
    ...same('net-define @/net-mode.xml', 'net-define @/root.xml', 'net-define @/open.xml', 'net-create @/net-taken.xml')
  ],
  interfaces: [
    ...same('iface-list', 'iface-list --all', 'iface-dumpxml eth1', 'iface-name aa:bb:cc:dd:ee:ff', 'iface-mac eth1'),
    ...same(
      'iface-begin',
      'iface-begin',
      'iface-define @/iface.xml',
      'iface-dumpxml eth7',
      'iface-start eth7',
      'iface-start eth7'
    ),
    ...same(
      'iface-list --all',
      'iface-destroy eth7',
      'iface-destroy eth7',
      'iface-undefine eth7',
      'iface-undefine eth7'
    ),
    ...same('iface-rollback', 'iface-commit', 'iface-rollback', 'iface-define @/bridge.xml', 'iface-dumpxml br9'),
    ...same('iface-define @/iface-type.xml', 'iface-define @/root.xml', 'iface-list --all')
  ],
  pools: [
    ...same(
      'pool-list',
      'pool-list --all',
      'pool-list --all --details',
      'pool-info default-pool',
      'pool-dumpxml default-pool'
    ),
    ...same(
      'pool-uuid default-pool',
      'pool-define @/pool.xml',
      'pool-dumpxml p2',
      'pool-build p2',
      'pool-start p2',
      'pool-start p2'
    ),
    ...same('pool-create-as tmpp dir --target /some/dir', 'pool-info tmpp', 'pool-autostart tmpp', 'pool-refresh p2'),
    ...same(
      'pool-autostart p2',
      'pool-list --type dir',
      'pool-list --type logical --all',
      'pool-destroy tmpp',
      'pool-build p2'
    ),
    ...same(
      'pool-define @/pool3.xml',
      'pool-dumpxml lv',
      'pool-list --all',
      'pool-undefine p2',
      'pool-destroy p2',
      'pool-destroy p2'
    ),
    ...same('pool-refresh p2', 'pool-delete p2', 'pool-undefine p2', 'pool-info p2', 'pool-define @/pool-bad.xml'),
    ...same(
      'pool-define @/pool-path.xml',
      'pool-define @/pool-same.xml',
      'pool-define @/root.xml',
      'pool-capabilities'
    ),
    ...same(
      'find-storage-pool-sources dir',
      'find-storage-pool-sources logical',
      'find-storage-pool-sources-as netfs host'
    )
  ],
  volumes: [
    ...same(
      'pool-define @/pool.xml',
      'vol-create p2 @/vol.xml',
      'pool-start p2',
      'vol-create p2 @/vol.xml',
      'vol-create p2 @/vol.xml'
    ),
    ...same(
      'vol-create-as p2 v2 1M',
      'vol-create-as p2 v5 2M --format qcow2 --allocation 1M',
      'vol-list p2',
      'vol-list p2 --details'
    ),
    ...same(
      'vol-info v1 --pool p2',
      'vol-dumpxml v1 --pool p2',
      'vol-path v1 --pool p2',
      'vol-key v1 --pool p2',
      'vol-name /p2/v1'
    ),
    ...same(
      'vol-pool /p2/v1',
      'vol-create p2 @/vol4.xml',
      'vol-dumpxml v4 --pool p2',
      'vol-clone v1 v3 --pool p2',
      'vol-list p2'
    ),
    ...same(
      'pool-info p2',
      'vol-delete v2 --pool p2',
      'vol-info v2 --pool p2',
      'vol-key /nosuch',
      'vol-create p2 @/vol-size.xml'
    ),
    ...same(
      'vol-create p2 @/vol-big.xml',
      'vol-create p2 @/vol-format.xml',
      'vol-create p2 @/root.xml',
      'vol-list nosuch'
    ),
    ['vol-resize v1 2M --pool p2', NEEDS_BYTES],
    ['vol-info v1 --pool p2', NEEDS_BYTES],
    ['vol-wipe v1 --pool p2', NEEDS_BYTES],
    ['vol-upload v1 @/dom.xml --pool p2', NEEDS_BYTES],
    ['vol-download v1 @/downloaded-SIDE --pool p2', NEEDS_BYTES]
  ],
  devices: [
    ['nodedev-list', NEWER],
    ['nodedev-list --tree', NEWER],
    ['nodedev-list --cap scsi_host', NEWER],
    ...same(
      'nodedev-dumpxml scsi_host1',
      'nodedev-dumpxml computer',
      'nodedev-dumpxml nosuch',
      'nodedev-info scsi_host1'
    ),
    ...same(
      'nodedev-create @/nodedev.xml',
      'nodedev-dumpxml scsi_host12',
      'nodedev-destroy scsi_host12',
      'nodedev-destroy scsi_host2'
    ),
    ...same('nodedev-dumpxml scsi_host2', 'nodedev-destroy computer', 'nodedev-create @/device-bare.xml'),
    ...same('nodedev-create @/device-parent.xml', 'nodedev-create @/root.xml', 'nodedev-reset scsi_host1'),
    ...same('nwfilter-list', 'nwfilter-dumpxml x', 'nwfilter-binding-list')
  ],
  secrets: [
    ['secret-list', NEEDS_SECRETS],
    ['secret-define @/secret.xml', NEEDS_SECRETS],
    [`secret-dumpxml ${SECRET}`, NEEDS_SECRETS],
    [`secret-set-value ${SECRET} c2VjcmV0`, NEEDS_SECRETS],
    [`secret-get-value ${SECRET}`, NEEDS_SECRETS],
    [`secret-undefine ${SECRET}`, NEEDS_SECRETS]
  ]
}
