"""A client with an event loop and without a close callback: it never learns that its driver daemon was restarted.

Arguments: URI. Prints each event as "object event" and each answer, one JSON object a line. Each line of standard input
is a method of the connection to call, "screenshot" (a stream), or "forget" (deregisters one of the callbacks).
"""
import json
import sys
import threading

import libvirt


def say(**what):
    sys.stdout.write(json.dumps(what) + '\n')
    sys.stdout.flush()


def run_loop():
    while True:
        libvirt.virEventRunDefaultImpl()


libvirt.registerErrorHandler(lambda *_: None, None)
libvirt.virEventRegisterDefaultImpl()
threading.Thread(target=run_loop, daemon=True).start()
connection = libvirt.open(sys.argv[1])
connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lambda c, domain, event, detail, _: say(
    event='domain %s %d' % (domain.name(), event)), None)
connection.networkEventRegisterAny(None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE, lambda c, network, event, detail, _: say(
    event='network %s %d' % (network.name(), event)), None)
extra = connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, lambda *_: None, None)
say(ready=True)


def screenshot():
    stream = connection.newStream()
    connection.listAllDomains()[0].screenshot(stream, 0, 0)
    size = 0
    while True:
        data = stream.recv(65536)
        if not data:
            break
        size += len(data)
    stream.finish()
    return size


def forget():
    connection.domainEventDeregisterAny(extra)
    return True


for line in sys.stdin:
    method = line.strip()
    try:
        work = {'screenshot': screenshot, 'forget': forget}.get(method) or getattr(connection, method)
        say(call=method, result=work())
    except libvirt.libvirtError as error:
        say(call=method, code=error.get_error_code(), message=error.get_error_message())
connection.close()
