"""Checkpoints for tests: the committed ones that TensorFlow wrote, and variants that it cannot write here."""

from pathlib import Path

import cramjam
import numpy as np

from panmodel.dtypes import BY_TENSORFLOW, STRING
from panmodel.io.source import Extent, FileSource, MemorySource
from panmodel.wire.checksums import crc32c, mask
from panmodel.wire.protobuf import encode_bytes
from panmodel.wire.sstable import MAGIC, encode_block, encode_table, read_table, trailer
from panmodel.wire.tensor_bundle import (
    BundleEntryProto,
    BundleHeaderProto,
    SliceExtent,
    TensorSliceProto,
    read_bundle,
    read_strings,
    slice_key,
)
from panmodel.wire.tensorflow_messages import Dim, TensorShapeProto, VersionDef

FIXTURES = Path(__file__).parent / "fixtures" / "checkpoints"
NAMES = ("dtypes", "partitioned", "sharded", "trained")


def expected(name):
    """What TensorFlow held when it wrote a committed checkpoint: tensor name → array (strings as bytes objects)."""
    values = {}
    with np.load(FIXTURES / f"{name}.npz") as stored:
        for key, value in stored.items():
            if value.dtype.kind == "U":
                plain = np.empty(value.size, object)
                plain[:] = [bytes.fromhex(text) for text in value.reshape(-1).tolist()]
                value = plain.reshape(value.shape)
            values[key.replace("|", "/")] = value
    return values


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes((number,))


def single_block_table(block, *, snappy=False, stored=None):
    """A table of one data block, given by its content, or as it is stored with its trailer."""
    if stored is None:
        content = bytes(cramjam.snappy.compress_raw(block)) if snappy else block
        stored = content + trailer(content, int(snappy))
    index = encode_block([(b"\xff" * 8, varint(0) + varint(len(stored) - 5))], interval=1)
    handles = varint(len(stored)) + varint(len(index)) + varint(len(stored)) + varint(len(index))
    return stored + index + trailer(index) + handles.ljust(40, b"\0") + MAGIC


def shape_proto(shape):
    return TensorShapeProto(dim=[Dim(size=size) for size in shape])


def box(*extents):
    """A slice: (start, length) for each dimension, None for all of it."""
    return TensorSliceProto(extent=[SliceExtent(start=e[0], length=e[1]) if e else SliceExtent() for e in extents])


class Writer:
    """Writes a checkpoint entry by entry, wrong ones as well."""

    def __init__(self, folder, prefix="model.ckpt", **header):
        self.index = Path(folder) / f"{prefix}.index"
        self.data = Path(folder) / f"{prefix}.data-00000-of-00001"
        header = {"num_shards": 1, "version": VersionDef(producer=1)} | header
        self.entries = {b"": encode_bytes(BundleHeaderProto(**header))}
        self.payload = b""

    def add(self, name, array, **wrong):
        """A tensor, or with `key` one slice of it; keywords replace fields of its entry."""
        data = array.tobytes()
        number = next(n for n, d in BY_TENSORFLOW.items() if d.name == array.dtype.name)
        entry = {"dtype": number, "shape": shape_proto(array.shape), "offset": len(self.payload), "size": len(data)}
        entry["crc32c"] = mask(crc32c(data))
        key = wrong.pop("key", name.encode())
        self.entries[key] = encode_bytes(BundleEntryProto(**entry | wrong))
        self.payload += data
        return self

    def add_slices(self, name, shape, parts, dtype=1):
        """A partitioned tensor from pairs of a box and an array."""
        whole = BundleEntryProto(dtype=dtype, shape=shape_proto(shape), slices=[where for where, _ in parts])
        self.entries[name.encode()] = encode_bytes(whole)
        for where, array in parts:
            if array is not None:
                self.add(name, array, key=slice_key(name, where))
        return self

    def write(self):
        self.index.write_bytes(b"".join(encode_table(sorted(self.entries.items()))))
        self.data.write_bytes(self.payload)
        return self.index.with_suffix("")


def with_snappy(prefix, target):
    """Rewrite a checkpoint of one shard with a compressed index."""
    entries = list(read_table(FileSource(f"{prefix}.index")))
    Path(f"{target}.index").write_bytes(single_block_table(encode_block(entries), snappy=True))
    _copy_data(prefix, target)


def _copy_data(prefix, target):
    suffix = ".data-00000-of-00001"
    Path(f"{target}{suffix}").write_bytes(Path(f"{prefix}{suffix}").read_bytes())


def with_big_endian(prefix, target):
    """Rewrite a checkpoint of one shard as a big-endian machine writes it."""
    suffix = ".data-00000-of-00001"
    source = FileSource(f"{prefix}{suffix}")
    bundle = read_bundle(FileSource(f"{prefix}.index"))
    bundle.header.endianness = 1
    table = {b"": encode_bytes(bundle.header)}
    payload = b""
    named = {name.encode(): entry for name, entry in bundle.entries.items()}
    for key, entry in {**named, **bundle.slices}.items():
        if not entry.slices:
            extent = Extent(source, entry.offset, entry.size)
            data, entry.crc32c = _swapped(extent, entry)
            entry.offset = len(payload)
            payload += data
        table[key] = encode_bytes(entry)
    Path(f"{target}.index").write_bytes(b"".join(encode_table(sorted(table.items()))))
    Path(f"{target}{suffix}").write_bytes(payload)


def _swapped(extent, entry):
    """The bytes with the other byte order, and their masked sum."""
    dtype = BY_TENSORFLOW[entry.dtype]
    if dtype is not STRING:
        width = dtype.itemsize // (2 if dtype.kind == "c" else 1)
        data = np.frombuffer(extent.read(), np.uint8).reshape(-1, width)[:, ::-1].tobytes()
        return data, mask(crc32c(data))
    count = int(np.prod([dim.size for dim in entry.shape.dim], dtype=int)) if entry.shape else 1
    strings = read_strings("", extent, count, entry.crc32c, big_endian=False)
    lengths = crc32c(b"".join(len(text).to_bytes(4, "big") for text in strings))
    rest = mask(lengths).to_bytes(4, "big") + b"".join(strings)
    return b"".join(varint(len(text)) for text in strings) + rest, mask(crc32c(rest, lengths))


def memory(data, name="model.ckpt.index"):
    return MemorySource(data, name)
