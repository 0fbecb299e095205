"""
Does what some commands of virsh do, in one connection, each argument after the URI one command. Prints each error as
virsh does, and ends with 1 after the first.
"""
import shlex
import sys

import libvirt


def desc(guest, text):
    guest.setMetadata(libvirt.VIR_DOMAIN_METADATA_DESCRIPTION, text, None, None, libvirt.VIR_DOMAIN_AFFECT_CURRENT)


def dump(guest, path, *options):
    guest.coreDump(path, libvirt.VIR_DUMP_CRASH if '--crash' in options else 0)


def save(guest, path):
    guest.save(path)


def managedsave(guest):
    guest.managedSave(0)


def migrate(guest, uri):
    guest.migrate3(libvirt.open(uri), {}, 0)


def domstate(guest):
    print('running' if guest.isActive() else 'shut off')


COMMANDS = {of.__name__: of for of in (desc, dump, save, managedsave, migrate, domstate)}

libvirt.registerErrorHandler(lambda *_: None, None)
uri, *commands = sys.argv[1:]
try:
    connection = libvirt.open(uri)
    for name, first, *others in map(shlex.split, commands):
        if name == 'restore':
            connection.restore(first)
        else:
            COMMANDS[name](connection.lookupByName(first), *others)
except libvirt.libvirtError as error:
    sys.exit('error: ' + error.get_error_message())
