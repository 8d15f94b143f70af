"""HDF5 files put together byte by byte, so that the reader can be tried without the HDF5 library."""

import struct

from panmodel.io.source import MemorySource
from panmodel.wire.hdf5 import read_file
from panmodel.wire.hdf5.checksums import lookup3
from panmodel.wire.hdf5.cursor import Cursor
from panmodel.wire.hdf5.file import File, Visit

UNDEFINED = b"\xff" * 8
FLOAT32 = bytes([0x11, 0x20, 31, 0]) + struct.pack("<IHHBBBBI", 4, 0, 32, 23, 8, 0, 23, 127)
INT16 = bytes([0x10, 0x08, 0, 0]) + struct.pack("<IHH", 2, 0, 16)
INT16_BIG = bytes([0x10, 0x09, 0, 0]) + struct.pack("<IHH", 2, 0, 16)
TEXT = bytes([0x19, 0x01, 0x01, 0]) + struct.pack("<I", 16) + bytes([0x10, 0, 0, 0]) + struct.pack("<IHH", 1, 0, 8)


def fixed_text(size, padding=1):
    return bytes([0x13, padding, 0, 0]) + struct.pack("<I", size)


def space(*shape):
    return bytes([2, len(shape), 0, 1 if shape else 0]) + b"".join(struct.pack("<Q", extent) for extent in shape)


def summed(data):
    return data + struct.pack("<I", lookup3(data))


def message(kind, body, flags=0):
    return struct.pack("<BHB", kind, len(body), flags) + body


def header(*messages):
    content = b"".join(messages)
    return summed(b"OHDR" + struct.pack("<BBI", 2, 2, len(content)) + content)


def hard_link(name, address):
    return message(0x06, struct.pack("<BBB", 1, 0, len(name)) + name + struct.pack("<Q", address))


def soft_link(name, path):
    return message(0x06, struct.pack("<BBBB", 1, 8, 1, len(name)) + name + struct.pack("<H", len(path)) + path)


def external_link(name, file, path):
    value = b"\0" + file + b"\0" + path + b"\0"
    return message(0x06, struct.pack("<BBBB", 1, 8, 64, len(name)) + name + struct.pack("<H", len(value)) + value)


def attribute(name, datatype, dataspace, data):
    sizes = struct.pack("<BBHHHB", 3, 0, len(name) + 1, len(datatype), len(dataspace), 0)
    return message(0x0C, sizes + name + b"\0" + datatype + dataspace + data)


def contiguous(address, nbytes):
    return bytes([3, 1]) + struct.pack("<QQ", address, nbytes)


def dataset(datatype, dataspace, layout, *more):
    return header(message(0x03, datatype), message(0x01, dataspace), message(0x08, layout), *more)


class Builder:
    """Puts structures one after the other; the superblock is at the front."""

    def __init__(self):
        self.data = bytearray(48)

    def add(self, structure):
        self.data += bytes(-len(self.data) % 8)
        address = len(self.data)
        self.data += structure
        return address

    def finish(self, root, end=None):
        end = len(self.data) if end is None else end
        front = b"\x89HDF\r\n\x1a\n" + bytes([2, 8, 8, 0]) + struct.pack("<Q", 0) + UNDEFINED
        self.data[:48] = summed(front + struct.pack("<QQ", end, root))
        return bytes(self.data)


def small_file(*, datatype=INT16, shape=(2, 3), data=None, more=()):
    """A file with one contiguous dataset "x" in its root, and what else the root should have."""
    build = Builder()
    data = struct.pack("<6h", *range(6)) if data is None else data
    place = build.add(data)
    x = build.add(dataset(datatype, space(*shape), contiguous(place, len(data))))
    root = build.add(header(message(0x0A, b"\0\0"), hard_link(b"x", x), *more))
    return build.finish(root)


def read(data):
    return read_file(MemorySource(data))


def cursor(data, what="a structure"):
    return Cursor(data, "test", what)


def visit(data, owner=0):
    return Visit(File(MemorySource(data)), owner)
