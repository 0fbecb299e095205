"""Registers for all kinds of events, causes some, and prints what came. Arguments: URI, directory of the files."""
import sys
import libvirt

uri, folder = sys.argv[1:]
libvirt.registerErrorHandler(lambda *_: None, None)
libvirt.virEventRegisterDefaultImpl()
connection = libvirt.open(uri)


def told(kind):
    def callback(_connection, thing, *rest):
        name = thing.name() if hasattr(thing, 'name') else thing.UUIDString()
        number = thing.ID() if hasattr(thing, 'ID') else ''
        print(kind, name, number, *rest[:-1], flush=True)
    return callback


def definition(name):
    with open(f'{folder}/{name}', encoding='utf8') as file:
        return file.read()


for event in (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT,
              libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE):
    connection.domainEventRegisterAny(None, event, told(f'domain {event}'), None)
only = connection.lookupByName('test')
connection.domainEventRegisterAny(only, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, told('only test'), None)
connection.networkEventRegisterAny(None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE, told('network'), None)
for event in (0, 1):
    connection.storagePoolEventRegisterAny(None, event, told(f'pool {event}'), None)
    connection.nodeDeviceEventRegisterAny(None, event, told(f'device {event}'), None)


def settle():
    """
    Prints what the last step has caused. A daemon sends events in the turn of its loop that follows what has caused them, so
    that they have come when the second of two calls is answered; our own loop delivers them in its next turn.
    """
    connection.getLibVersion()
    connection.getLibVersion()
    for _ in range(2):
        handle = libvirt.virEventAddTimeout(0, lambda *_: None, None)
        libvirt.virEventRunDefaultImpl()
        libvirt.virEventRemoveTimeout(handle)


def step(text, action):
    print(f'-- {text}', flush=True)
    action()
    settle()


test = connection.lookupByName('test')
step('suspend', test.suspend)
step('resume', test.resume)
step('reboot', lambda: test.reboot(0))
step('shutdown', test.shutdown)
step('start', test.create)
step('managed save', lambda: test.managedSave(0))
step('start', test.create)
step('destroy', test.destroy)
step('rename', lambda: test.rename('renamed', 0))
step('title', lambda: test.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, 'a', None, None, 0))
step('element', lambda: test.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, '<a/>', 'k', 'http://x', 0))
step('define', lambda: connection.defineXML(definition('dom.xml')))
step('define again', lambda: connection.defineXML(definition('dom.xml')))
other = connection.lookupByName('vm2')
step('start other', other.create)
step('snapshot', lambda: other.snapshotCreateXML(definition('snap.xml'), 0))
step('suspend other', other.suspend)
step('revert', lambda: other.revertToSnapshot(other.snapshotLookupByName('s1'), 0))
step('halt', lambda: other.snapshotCreateXML('<domainsnapshot/>', libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_HALT))
step('undefine', lambda: other.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA))
step('create', lambda: connection.createXML(definition('transient.xml'), 0))
step('destroy transient', lambda: connection.lookupByName('vm3').destroy())
step('net define', lambda: connection.networkDefineXML(definition('net.xml')))
network = connection.networkLookupByName('net2')
step('net start', network.create)
step('net destroy', network.destroy)
step('net undefine', network.undefine)
step('pool define', lambda: connection.storagePoolDefineXML(definition('pool.xml'), 0))
pool = connection.storagePoolLookupByName('p2')
step('pool build', lambda: pool.build(0))
step('pool start', lambda: pool.create(0))
step('pool refresh', lambda: pool.refresh(0))
step('pool destroy', pool.destroy)
step('pool delete', lambda: pool.delete(0))
step('pool undefine', pool.undefine)
step('device create', lambda: connection.nodeDeviceCreateXML(definition('nodedev.xml'), 0))
step('device destroy', lambda: connection.nodeDeviceLookupByName('scsi_host12').destroy())
