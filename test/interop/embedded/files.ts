/** Definitions that the commands use, by file name. Ids and addresses are given, as libvirt draws random ones. */
export const FILES: Record<string, string> = {
  'dom.xml': `<domain type='test'>
  <name>vm2</name><uuid>11111111-aaaa-4aaa-8aaa-000000000001</uuid>
  <memory unit='MiB'>512</memory><vcpu current='1'>4</vcpu>
  <os><type>hvm</type></os>
  <devices>
    <emulator>/usr/bin/test-hv</emulator>
    <disk type='file'><source file='/a.img'/><target dev='hda'/></disk>
    <disk type='file' device='cdrom'><target dev='hdc'/></disk>
    <disk type='block' device='disk'><source dev='/dev/sdz'/><target dev='sdb'/></disk>
    <interface type='network'><mac address='52:54:00:aa:00:01'/><source network='default'/></interface>
    <interface type='bridge'><source bridge='br0'/><mac address='52:54:00:AA:0:2'/></interface>
    <serial type='pty'/><console type='pty'/>
    <channel type='unix'><target type='virtio' name='org.example'/></channel>
    <input type='tablet'/><graphics type='vnc'/><video/>
    <rng model='virtio'><backend model='random'>/dev/random</backend></rng>
  </devices>
</domain>`,
  'full.xml': `<domain type='test'>
  <name>full</name><uuid>11111111-aaaa-4aaa-8aaa-000000000002</uuid>
  <title>A title</title><description>some &lt;text&gt; &amp; more</description>
  <metadata><app:x xmlns:app='http://a/b'><app:y n='1'>1</app:y></app:x></metadata>
  <on_reboot>destroy</on_reboot><on_poweroff>preserve</on_poweroff><on_crash>restart</on_crash>
  <memory unit='GiB'>1</memory><currentMemory unit='MiB'>512</currentMemory>
  <vcpu current='2'>4</vcpu><cputune><shares>100</shares></cputune>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='network'/><kernel>/k</kernel><cmdline>a b</cmdline></os>
  <features><acpi/><apic/><pae/></features>
  <cpu mode='custom' match='exact'><model>qemu64</model><topology sockets='1' cores='4' threads='1'/></cpu>
  <clock offset='localtime'/>
  <devices><controller type='usb' index='0'/><memballoon model='none'/></devices>
</domain>`,
  'transient.xml': `<domain type='test'>
  <name>vm3</name><uuid>11111111-aaaa-4aaa-8aaa-000000000003</uuid>
  <memory>8192</memory><os><type>hvm</type></os>
</domain>`,
  'unknown.xml': `<domain type='test'>
  <name>odd</name><uuid>11111111-aaaa-4aaa-8aaa-000000000004</uuid>
  <memory>8192</memory><os><type>hvm</type></os><future kind='x'><part/></future>
</domain>`,
  'iface-dev.xml': "<interface type='network'><source network='default'/></interface>",
  'net.xml': `<network><name>net2</name><uuid>11111111-bbbb-4bbb-8bbb-000000000001</uuid>
  <forward mode='nat'/><bridge name='virbr7'/>
  <ip address='192.168.77.1' netmask='255.255.255.0'>
    <dhcp><range start='192.168.77.2' end='192.168.77.99'/></dhcp></ip></network>`,
  'net3.xml': `<network ipv6='yes'><name>net3</name><uuid>11111111-bbbb-4bbb-8bbb-000000000002</uuid>
  <forward mode='bridge'/><bridge name='br0'/><mac address='52:54:00:bb:00:09'/>
  <portgroup name='p' default='yes'/></network>`,
  'net4.xml': `<network><name>net4</name><domain name='x.y' localOnly='yes'/>
  <ip family='ipv6' address='fe80::1' prefix='64'/>
  <dns><host ip='1.2.3.4'><hostname>a</hostname></host></dns>
  <metadata><a xmlns='http://z'/></metadata><uuid>11111111-bbbb-4bbb-8bbb-000000000003</uuid></network>`,
  'host.xml': "<host mac='00:11:22:33:44:55' ip='192.168.77.9'/>",
  'range.xml': "<range start='1.2.3.4' end='1.2.3.5'/>",
  'iface.xml': `<interface type='ethernet' name='eth7'><start mode='none'/><mac address='aa:bb:cc:dd:ee:07'/>
  <mtu size='1500'/><protocol family='ipv4'><ip address='10.0.0.7' prefix='24'/></protocol></interface>`,
  'bridge.xml': `<interface type='bridge' name='br9'><bridge stp='on'><interface type='ethernet' name='eth8'/></bridge>
  <protocol family='ipv4'><dhcp/></protocol></interface>`,
  'pool.xml': `<pool type='dir'><name>p2</name><uuid>11111111-dddd-4ddd-8ddd-000000000001</uuid>
  <target><path>/p2</path></target></pool>`,
  'pool3.xml': `<pool type='logical'><name>lv</name><uuid>11111111-dddd-4ddd-8ddd-000000000002</uuid>
  <source><device path='/dev/sda'/><name>vg</name></source><target><path>/dev/vg</path></target></pool>`,
  'vol.xml': `<volume><name>v1</name><capacity unit='M'>1</capacity><target><format type='raw'/></target></volume>`,
  'vol4.xml': `<volume><name>v4</name><capacity>1048577</capacity><allocation>4096</allocation>
  <target><format type='qcow2'/><permissions><mode>0644</mode></permissions></target>
  <backingStore><path>/b</path><format type='raw'/></backingStore></volume>`,
  'snap.xml': '<domainsnapshot><name>s1</name><description>first</description></domainsnapshot>',
  'nodedev.xml': `<device><parent>scsi_host1</parent><capability type='scsi_host'><capability type='fc_host'>
  <wwnn>1111222233334444</wwnn><wwpn>5555666677778888</wwpn></capability></capability></device>`,
  'secret.xml': `<secret ephemeral='yes' private='no'><uuid>11111111-eeee-4eee-8eee-000000000001</uuid>
  <usage type='volume'><volume>/v</volume></usage></secret>`,
  'root.xml': '<foo/>',
  'text.xml': 'foo',
  'open.xml': '<domain>',
  'crossed.xml': '<domain></dom>',
  'two.xml': '<a></a><b/>',
  'entity.xml': '<domain>&foo;</domain>',
  'nameless.xml': "<domain type='test'/>",
  'osless.xml': "<domain type='test'><name>x</name></domain>",
  'memoryless.xml': "<domain type='test'><name>x</name><os><type>hvm</type></os></domain>",
  'kind.xml': "<domain type='foo'><name>x</name><memory>1</memory><os><type>hvm</type></os></domain>",
  'unit.xml': "<domain type='test'><name>x</name><memory unit='foo'>1</memory><os><type>hvm</type></os></domain>",
  'uuid.xml': "<domain type='test'><name>x</name><uuid>zz</uuid><memory>1</memory><os><type>hvm</type></os></domain>",
  'vcpu.xml': `<domain type='test'><name>x</name><memory>1</memory><vcpu current='5'>2</vcpu>
<os><type>hvm</type></os></domain>`,
  'slash.xml': "<domain type='test'><name>a/b</name><memory>1</memory><os><type>hvm</type></os></domain>",
  'taken.xml': "<domain type='test'><name>test</name><memory>1</memory><os><type>hvm</type></os></domain>",
  'renamed.xml': `<domain type='test'><name>other</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>
<memory>1</memory><os><type>hvm</type></os></domain>`,
  'disk.xml': `<domain type='test'><name>x</name><memory>1</memory><os><type>hvm</type></os>
<devices><disk/></devices></domain>`,
  'mac.xml': `<domain type='test'><name>x</name><memory>1</memory><os><type>hvm</type></os>
<devices><interface type='network'><mac address='zz'/><source network='a'/></interface></devices></domain>`,
  'pool-bad.xml': "<pool type='foo'/>",
  'pool-path.xml': "<pool type='dir'><name>x</name></pool>",
  'pool-same.xml': "<pool type='dir'><name>y</name><target><path>/default-pool</path></target></pool>",
  'net-name.xml': '<network/>',
  'net-taken.xml': '<network><name>default</name></network>',
  'net-mode.xml': "<network><name>x</name><forward mode='foo'/></network>",
  'vol-size.xml': '<volume><name>x</name></volume>',
  'vol-big.xml': "<volume><name>x</name><capacity unit='T'>1</capacity></volume>",
  'vol-format.xml': "<volume><name>x</name><capacity>1</capacity><target><format type='zz'/></target></volume>",
  'iface-type.xml': "<interface type='foo' name='x'/>",
  'device-bare.xml': '<device/>',
  'device-parent.xml': `<device><parent>zz</parent><capability type='scsi_host'><capability type='fc_host'>
<wwnn>1</wwnn><wwpn>2</wwpn></capability></capability></device>`
}
