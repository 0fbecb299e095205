"""A client with keepalive that stays under load, and says in the end whether the broker was ever taken for dead.

Arguments: URI, load, seconds, volume. Loads: none; calls (many threads call at once); download (a volume, over and over);
upload (a volume, over and over). The last two need the volume in a pool called shelf. Prints one JSON object.
"""
import json
import sys
import threading
import time

import libvirt

uri, load, seconds, name = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4]
libvirt.registerErrorHandler(lambda *_: None, None)
libvirt.virEventRegisterDefaultImpl()


def run_loop():
    while True:
        libvirt.virEventRunDefaultImpl()


threading.Thread(target=run_loop, daemon=True).start()
connection = libvirt.open(uri)
closed = []
connection.registerCloseCallback(lambda c, reason, _: closed.append(reason), None)
connection.setKeepAlive(1, 1)
until = time.monotonic() + seconds
done = 0
failure = None


def call():
    global done
    while time.monotonic() < until:
        connection.getLibVersion()
        done += 1


def guarded(work):
    def run():
        global failure
        try:
            work()
        except libvirt.libvirtError as error:
            failure = failure or str(error)
    return run


def download():
    global done
    pool = connection.storagePoolLookupByName('shelf')
    volume = pool.storageVolLookupByName(name)
    while time.monotonic() < until:
        stream = connection.newStream()
        volume.download(stream, 0, 0)
        while time.monotonic() < until:
            data = stream.recv(262120)
            if not data:
                stream.finish()
                break
            done += len(data)
        else:
            stream.abort()


def upload():
    global done
    pool = connection.storagePoolLookupByName('shelf')
    volume = pool.storageVolLookupByName(name)
    block = b'x' * 262120
    while time.monotonic() < until:
        stream = connection.newStream()
        volume.upload(stream, 0, 0)
        for _ in range(100):
            if time.monotonic() > until:
                break
            done += stream.send(block)
        stream.abort()


works = {'none': [], 'calls': [call] * 20, 'download': [download], 'upload': [upload]}[load]
workers = [threading.Thread(target=guarded(work), daemon=True) for work in works]
for worker in workers:
    worker.start()
time.sleep(seconds)
for worker in workers:
    worker.join(5)
print(json.dumps({'closed': closed, 'alive': connection.isAlive(), 'done': done, 'failure': failure}))
sys.stdout.flush()
