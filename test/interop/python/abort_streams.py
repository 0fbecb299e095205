"""Leaves transfers of a volume half way and shows that the connection goes on.

Arguments: URI, pool, volume, bytes to transfer before the abort. Prints one JSON object.
"""
import hashlib
import json
import sys

import libvirt

uri, pool_name, volume_name, limit = sys.argv[1:4] + [int(sys.argv[4])]
result = {}
connection = libvirt.open(uri)
pool = connection.storagePoolLookupByName(pool_name)
volume = pool.storageVolLookupByName(volume_name)


def download(amount):
    """Reads `amount` bytes, or to the end if it is None. Gives (stream, bytes read, SHA-256 in hex)."""
    stream = connection.newStream()
    volume.download(stream, 0, 0)
    digest = hashlib.sha256()
    received = 0
    while amount is None or received < amount:
        data = stream.recv(262120)
        if not data:
            break
        digest.update(data)
        received += len(data)
    return stream, received, digest.hexdigest()


stream, received, _ = download(limit)
stream.abort()
result['received_before_abort'] = received
result['capacity_after_download_abort'] = volume.info()[1]

scratch = pool.createXML('<volume><name>scratch.img</name><capacity>%d</capacity></volume>' % (4 * limit))
stream = connection.newStream()
scratch.upload(stream, 0, 0)
sent = 0
while sent < limit:
    sent += stream.send(b'x' * 65536)
stream.abort()
result['sent_before_abort'] = sent
result['capacity_after_upload_abort'] = volume.info()[1]
scratch.delete()

# Dropping a stream without a word is what a program does that fails in between.
stream, _, _ = download(limit)
del stream
result['capacity_after_dropped_stream'] = volume.info()[1]

stream, received, digest = download(None)
stream.finish()
result['received_in_full'] = received
result['sha256_in_full'] = digest
result['volumes'] = pool.listVolumes()
connection.close()
print(json.dumps(result))
