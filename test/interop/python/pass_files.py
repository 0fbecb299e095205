"""Passes file descriptors through libvirt: a guest's VNC console, and a disk that only the caller can open.

Arguments: URI, name of a running guest with VNC, file of the XML of another guest whose disk is fd group "disk",
path of that disk, whether descriptors can travel ("yes" or "no"). Prints a line for each thing that worked.
"""
import os
import socket
import sys

import libvirt

uri, name, xml_path, disk_path, can = sys.argv[1:]
connection = libvirt.open(uri)
domain = connection.lookupByName(name)

if can == 'no':
    for what in (lambda: domain.openGraphicsFD(0, libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH),
                 lambda: connection.createXMLWithFiles(open(xml_path).read(), [os.open(disk_path, os.O_RDWR)], 0)):
        try:
            what()
            print('passed')
        except libvirt.libvirtError as error:
            print('refused:', error.get_error_message())
    sys.exit(0)

ours, theirs = socket.socketpair()
domain.openGraphics(0, theirs.fileno(), libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH)
theirs.close()
print('openGraphics:', ours.recv(12).decode().strip())

passed = socket.socket(fileno=domain.openGraphicsFD(0, libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH))
print('openGraphicsFD:', passed.recv(12).decode().strip())

with open(xml_path) as xml:
    other = connection.defineXML(xml.read())
other.FDAssociate('disk', [os.open(disk_path, os.O_RDWR)], 0)
print('FDAssociate: done')
other.create()
print('started with the file:', other.isActive())
other.destroy()
other.undefine()
