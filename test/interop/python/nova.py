"""What OpenStack's nova-compute asks of libvirt: one start, one guest's life, and some rounds of its periodic tasks.

Arguments: URI, file with a guest's XML, file with a disk's XML, rounds. Follows nova's libvirt driver (host.py, guest.py and
driver.py of nova 27 to 30): which calls it makes in which task, not what it makes of the answers.
"""
import sys
import threading

import libvirt

uri, guest_file, disk_file, rounds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
with open(guest_file) as file:
    GUEST = file.read()
with open(disk_file) as file:
    DISK = file.read()
LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
PERSISTENT = libvirt.VIR_DOMAIN_AFFECT_CONFIG


def ignore(*_):
    pass


def connect():
    def turn():
        while True:
            libvirt.virEventRunDefaultImpl()

    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=turn, daemon=True).start()
    conn = libvirt.openAuth(uri, [[libvirt.VIR_CRED_AUTHNAME], ignore, None], 0)
    for event in (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
                  libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED):
        conn.domainEventRegisterAny(None, event, ignore, None)
    conn.registerCloseCallback(ignore, None)
    return conn


def init_host(conn):
    conn.getLibVersion()
    conn.getVersion()
    conn.getType()
    conn.getCapabilities()
    for machine in ('pc', 'q35'):
        conn.getDomainCapabilities(None, 'x86_64', machine, 'qemu', 0)
    conn.getHostname()
    conn.listAllSecrets(0)


def update_available_resource(conn):
    conn.getLibVersion()
    conn.getInfo()
    conn.getVersion()
    conn.getHostname()
    conn.getCPUMap()
    for domain in conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        domain.UUIDString()
        domain.info()
        domain.XMLDesc(0)
        domain.vcpus()
    for domain in conn.listAllDomains(0):
        domain.XMLDesc(0)
        domain.blockInfo('vda', 0)
    for device in conn.listAllDevices(libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV):
        conn.nodeDeviceLookupByName(device.name()).XMLDesc(0)
    conn.getCPUStats(libvirt.VIR_NODE_CPU_STATS_ALL_CPUS, 0)


def sync_power_states(conn, uuid):
    conn.numOfDomains()
    guest = conn.lookupByUUIDString(uuid)
    guest.info()
    guest.isPersistent()


def poll_usage(conn, uuid):
    guest = conn.lookupByUUIDString(uuid)
    guest.info()
    guest.XMLDesc(0)
    guest.vcpus()
    guest.memoryStats()
    guest.blockStats('vda')
    guest.hasManagedSaveImage(0)


conn = connect()
init_host(conn)
domain = conn.defineXML(GUEST)
uuid = domain.UUIDString()
domain.createWithFlags(0)
for _ in range(rounds):
    update_available_resource(conn)
    sync_power_states(conn, uuid)
    poll_usage(conn, uuid)
domain.attachDeviceFlags(DISK, PERSISTENT | LIVE)
domain.XMLDesc(0)
domain.suspend()
domain.resume()
domain.jobStats()
domain.destroy()
domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
conn.close()
