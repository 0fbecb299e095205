"""A client with an event loop that prints everything that it is told, one JSON object a line.

Arguments: URI [keepalive interval, keepalive count]. Each line of standard input is a call to make:
a method of the connection without arguments, whose result or error is printed. The end of input closes the connection.
"""
import json
import sys
import threading

import libvirt


def say(**what):
    sys.stdout.write(json.dumps(what) + '\n')
    sys.stdout.flush()


LIFECYCLE = {
    libvirt.VIR_DOMAIN_EVENT_DEFINED: 'defined', libvirt.VIR_DOMAIN_EVENT_UNDEFINED: 'undefined',
    libvirt.VIR_DOMAIN_EVENT_STARTED: 'started', libvirt.VIR_DOMAIN_EVENT_SUSPENDED: 'suspended',
    libvirt.VIR_DOMAIN_EVENT_RESUMED: 'resumed', libvirt.VIR_DOMAIN_EVENT_STOPPED: 'stopped',
    libvirt.VIR_DOMAIN_EVENT_SHUTDOWN: 'shutdown'}
NETWORK = {
    libvirt.VIR_NETWORK_EVENT_DEFINED: 'defined', libvirt.VIR_NETWORK_EVENT_UNDEFINED: 'undefined',
    libvirt.VIR_NETWORK_EVENT_STARTED: 'started', libvirt.VIR_NETWORK_EVENT_STOPPED: 'stopped'}
POOL = {
    libvirt.VIR_STORAGE_POOL_EVENT_DEFINED: 'defined', libvirt.VIR_STORAGE_POOL_EVENT_UNDEFINED: 'undefined',
    libvirt.VIR_STORAGE_POOL_EVENT_STARTED: 'started', libvirt.VIR_STORAGE_POOL_EVENT_STOPPED: 'stopped',
    libvirt.VIR_STORAGE_POOL_EVENT_CREATED: 'created', libvirt.VIR_STORAGE_POOL_EVENT_DELETED: 'deleted'}
SECRET = {libvirt.VIR_SECRET_EVENT_DEFINED: 'defined', libvirt.VIR_SECRET_EVENT_UNDEFINED: 'undefined'}


def watch_domains(connection):
    def on(event, handler):
        connection.domainEventRegisterAny(None, event, handler, None)

    on(libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lambda c, dom, event, detail, _: say(
        family='domain', object=dom.name(), event='%s %d' % (LIFECYCLE[event], detail)))
    on(libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, lambda c, dom, _: say(
        family='domain', object=dom.name(), event='rebooted'))
    on(libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, lambda c, dom, alias, _: say(
        family='domain', object=dom.name(), event='device added ' + alias))
    on(libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, lambda c, dom, alias, _: say(
        family='domain', object=dom.name(), event='device removed ' + alias))
    on(libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, lambda c, dom, params, _: say(
        family='domain', object=dom.name(), event='job completed, %s' % params['operation']))
    on(libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, lambda c, dom, disk, kind, status, _: say(
        family='domain', object=dom.name(), event='block job %s type %d status %d' % (disk, kind, status)))
    on(libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, lambda c, dom, kind, uri, _: say(
        family='domain', object=dom.name(), event='metadata %d %s' % (kind, uri)))


def watch_others(connection):
    connection.networkEventRegisterAny(
        None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE,
        lambda c, net, event, detail, _: say(family='network', object=net.name(), event=NETWORK[event]), None)
    connection.storagePoolEventRegisterAny(
        None, libvirt.VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE,
        lambda c, pool, event, detail, _: say(family='pool', object=pool.name(), event=POOL[event]), None)
    connection.storagePoolEventRegisterAny(
        None, libvirt.VIR_STORAGE_POOL_EVENT_ID_REFRESH,
        lambda c, pool, _: say(family='pool', object=pool.name(), event='refresh'), None)


def watch_secrets(connection):
    try:
        connection.secretEventRegisterAny(
            None, libvirt.VIR_SECRET_EVENT_ID_LIFECYCLE,
            lambda c, secret, event, detail, _: say(family='secret', object=secret.UUIDString(), event=SECRET[event]),
            None)
        connection.secretEventRegisterAny(
            None, libvirt.VIR_SECRET_EVENT_ID_VALUE_CHANGED,
            lambda c, secret, _: say(family='secret', object=secret.UUIDString(), event='value changed'), None)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise


def run_loop():
    while True:
        libvirt.virEventRunDefaultImpl()


def main():
    libvirt.registerErrorHandler(lambda *_: None, None)
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=run_loop, daemon=True).start()
    connection = libvirt.open(sys.argv[1])
    connection.registerCloseCallback(lambda c, reason, _: say(closed=reason), None)
    if len(sys.argv) > 2:
        say(keepalive=connection.setKeepAlive(int(sys.argv[2]), int(sys.argv[3])))
    else:
        watch_domains(connection)
        watch_others(connection)
        watch_secrets(connection)
    say(watching=True)
    for line in sys.stdin:
        method = line.strip()
        try:
            say(call=method, result=getattr(connection, method)())
        except libvirt.libvirtError as error:
            say(call=method, code=error.get_error_code(), domain=error.get_error_domain(),
                message=error.get_error_message())
    connection.close()


main()
