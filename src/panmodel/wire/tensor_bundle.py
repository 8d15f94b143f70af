"""TensorFlow's V2 checkpoints ("tensor bundles"): messages of the index, keys of slices, strings, and the state file.

Source: tensorflow/core/protobuf/tensor_bundle.proto, tensorflow/core/util/tensor_bundle/{tensor_bundle,naming}.cc,
tensorflow/core/lib/strings/ordered_code.cc, tensorflow/core/util/saved_tensor_slice_util.cc
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal

from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.io.source import Extent, Source
from panmodel.limits import DEFAULT
from panmodel.wire.checksums import crc32c, mask
from panmodel.wire.protobuf import Message, decode_bytes, repeated, single
from panmodel.wire.protobuf.varint import varint
from panmodel.wire.sstable import decode_varint, is_table, read_table
from panmodel.wire.tensorflow_messages import TensorShapeProto, VersionDef

VERSION = 1  # what TensorFlow writes; min_consumer of a file that we read is at most this
BIG_ENDIAN = 1
DAMAGED = "the stored bytes are damaged: fetch the file again"


class BundleHeaderProto(Message):
    """The value of the empty key, which is the first of every index."""

    num_shards: int = single(1, "int32")
    endianness: int = single(2, "enum", enum={"LITTLE": 0, "BIG": BIG_ENDIAN})
    version: VersionDef | None = single(3, lambda: VersionDef)


class SliceExtent(Message):
    """Part of one dimension: `length` elements from `start` on; all of it where no length is given."""

    start: int = single(1, "int64")
    length: int = single(2, "int64")


class TensorSliceProto(Message):
    """A box of a tensor."""

    extent: Sequence[SliceExtent] = repeated(1, lambda: SliceExtent)


class BundleEntryProto(Message):
    """Where the bytes of a tensor lie; a partitioned one has slices instead, which have entries of their own."""

    dtype: int = single(1, "enum")
    shape: TensorShapeProto | None = single(2, lambda: TensorShapeProto)
    shard_id: int = single(3, "int32")
    offset: int = single(4, "int64")
    size: int = single(5, "int64")
    crc32c: int = single(6, "fixed32")
    slices: Sequence[TensorSliceProto] = repeated(7, lambda: TensorSliceProto)


@dataclass(frozen=True)
class Bundle:
    """An index, read.

    Attributes:
        header: Number of shards, byte order and version.
        entries: One for each tensor by its name, in the order of the file.
        slices: One for each slice of a partitioned tensor, by its coded key.
    """

    header: BundleHeaderProto
    entries: dict[str, BundleEntryProto]
    slices: dict[bytes, BundleEntryProto]

    @property
    def is_big_endian(self) -> bool:
        """Whether numbers in the shards have their highest byte first."""
        return self.header.endianness == BIG_ENDIAN


def is_bundle_index(source: Source) -> bool:
    """Whether a source is the index of a V2 checkpoint; V1 checkpoints are tables as well, of other messages.

    Raises:
        CorruptError: It is a table, and damaged.
        LimitError: It is a table, and a size in it exceeds `panmodel.limits`.
    """
    if not is_table(source):
        return False
    key, value = next(read_table(source), (None, b""))
    try:
        return key == b"" and decode_bytes(BundleHeaderProto, value, source.name).num_shards > 0
    except CorruptError:  # the header of the other version, where a message is in the place of that number
        return False


def read_bundle(index: Source) -> Bundle:
    """Read the index of a V2 checkpoint.

    Raises:
        CorruptError: It is damaged, or the index of something else.
        UnsupportedError: It was written for newer readers.
        LimitError: It has more tensors or shards than `panmodel.limits` allows.
    """
    table = read_table(index)
    key, value = next(table, (None, b""))
    if key != b"":
        raise CorruptError("the first key is not the empty one of a checkpoint's header", where=index.name)
    bundle = Bundle(_header(value, index.name), {}, {})
    for number, (key, value) in enumerate(table):
        if number >= DEFAULT.tensors:
            raise LimitError(f"has more than {DEFAULT.tensors} entries", where=index.name)
        if key.startswith(b"\0"):
            bundle.slices[key] = decode_bytes(BundleEntryProto, value, f"{index.name}, slice {key!r}")
            continue
        try:
            name = key.decode()
        except UnicodeDecodeError:
            raise CorruptError(f"the tensor name {key!r} is no UTF-8 text", where=index.name) from None
        bundle.entries[name] = decode_bytes(BundleEntryProto, value, f"{index.name}, tensor {name!r}")
    return bundle


def _header(value: bytes, where: str) -> BundleHeaderProto:
    header = decode_bytes(BundleHeaderProto, value, f"{where}, header")
    if not 0 < header.num_shards <= DEFAULT.shards:
        raise LimitError(f"announces {header.num_shards} data files, 1 to {DEFAULT.shards} can be", where=where)
    if header.endianness not in (0, BIG_ENDIAN):
        raise CorruptError(f"has byte order {header.endianness}; 0 (little) and 1 (big) are known", where=where)
    version = header.version or VersionDef()
    if version.min_consumer > VERSION or VERSION in version.bad_consumers:
        message = f"is to be read by version {version.min_consumer} or later of the format, not by {VERSION}"
        raise UnsupportedError(message, where=where)
    return header


def shard_name(prefix: str, shard: int, num_shards: int) -> str:
    """File name of a data shard."""
    return f"{prefix}.data-{shard:05d}-of-{num_shards:05d}"


# Keys of slices: an order-preserving code, so that the slices of a tensor are neighbours in the table.


def slice_key(name: str, box: TensorSliceProto) -> bytes:
    """The key under which a slice of a tensor is stored."""
    parts = [_increasing(0), _string(name.encode()), _increasing(len(box.extent))]
    for extent in box.extent:
        parts.append(_signed_increasing(extent.start))
        parts.append(_signed_increasing(extent.length if extent.has("length") else -1))
    return b"".join(parts)


def slice_name(key: bytes) -> str:
    """The name in the key of a slice; as much of it as there is in one that is damaged."""
    escaped = key[1:].partition(b"\0\1")[0]
    name = re.sub(rb"\x00\xff|\xff\x00", lambda found: found[0][:1], escaped)
    return name.decode("utf-8", "backslashreplace")


def _string(text: bytes) -> bytes:
    """Bytes 00 and ff are escaped, so that the end is told from both."""
    return re.sub(rb"[\x00\xff]", lambda found: found[0] + (b"\xff" if found[0] == b"\0" else b"\0"), text) + b"\0\1"


def _increasing(number: int) -> bytes:
    """Number of bytes, then the bytes, highest first."""
    digits = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes((len(digits),)) + digits


def _signed_increasing(number: int) -> bytes:
    """Two's complement, highest byte first, with the upper n of its bits turned over, where n is the number of bytes.

    n bytes hold a sign and 7n - 1 bits: one byte reaches from -64 to 63.
    """
    nbytes = (~number if number < 0 else number).bit_length() // 7 + 1
    header = ((1 << nbytes) - 1) << 7 * nbytes
    return ((number & (1 << 8 * nbytes) - 1) ^ header).to_bytes(nbytes, "big")


# String tensors


def read_strings(name: str, extent: Extent, count: int, stored: int, *, big_endian: bool) -> list[bytes]:
    """Read the elements of a string tensor: their lengths as varints, a sum over the lengths, then all bytes.

    The sums are over the lengths as numbers of four or eight bytes, not as varints; the sum of the whole runs on over
    the stored sum of the lengths and the bytes.

    Args:
        name: The tensor's name, for messages.
        extent: Where its bytes lie.
        count: Number of elements.
        stored: Masked CRC-32C of the whole.
        big_endian: The byte order in which lengths are summed, and their sum is stored.

    Raises:
        CorruptError: The bytes do not meet a sum, or are more or fewer than announced.
        LimitError: There are more elements than `panmodel.limits` allows.
    """
    where = f"{extent.source.name} at offset {extent.offset}"
    if count > DEFAULT.string_elements:
        raise LimitError(f"tensor {name!r} has {count} strings, the cap is {DEFAULT.string_elements}", where=where)
    if count + 4 > extent.nbytes:
        raise CorruptError(f"tensor {name!r}: {extent.nbytes} bytes cannot hold {count} strings", where=where)
    data = extent.read()
    lengths, position = _lengths(name, data, count, where)
    order: Literal["little", "big"] = "big" if big_endian else "little"
    crc = _sum_of_lengths(lengths, order)
    sum_of_lengths = data[position : position + 4]
    position += 4
    if int.from_bytes(sum_of_lengths, order) != mask(crc) or sum(lengths) != len(data) - position:
        message = f"tensor {name!r} does not meet the checksum of the lengths of its strings"
        raise CorruptError(message, where=where, hint=DAMAGED)
    crc = crc32c(memoryview(data)[position:], crc32c(sum_of_lengths, crc))
    if mask(crc) != stored:
        message = (
            f"tensor {name!r} does not meet its checksum: masked crc32c {stored:08x} expected, {mask(crc):08x} found"
        )
        raise CorruptError(message, where=where, hint=DAMAGED)
    ends = list(accumulate(lengths, initial=position))
    return [data[start:end] for start, end in pairwise(ends)]


def encode_strings(strings: Iterable[bytes]) -> tuple[bytes, int]:
    """The elements of a string tensor as they are stored, and the CRC-32C of the whole (not masked)."""
    elements = list(strings)
    crc = _sum_of_lengths([len(text) for text in elements], "little")
    sum_of_lengths = mask(crc).to_bytes(4, "little")
    content = b"".join(elements)
    data = b"".join([*(varint(len(text)) for text in elements), sum_of_lengths, content])
    return data, crc32c(content, crc32c(sum_of_lengths, crc))


def _sum_of_lengths(lengths: Iterable[int], order: Literal["little", "big"]) -> int:
    return crc32c(b"".join(length.to_bytes(4 if length < 1 << 32 else 8, order) for length in lengths))


def _lengths(name: str, data: bytes, count: int, where: str) -> tuple[list[int], int]:
    lengths, position = [], 0
    for _ in range(count):
        length, position = decode_varint(data, position, f"{where}, tensor {name!r}")
        lengths.append(length)
    return lengths, position


# The state file


@dataclass(frozen=True, slots=True)
class CheckpointState:
    """What the file named `checkpoint` says.

    Attributes:
        latest: Path of the last checkpoint, as written there.
        all_paths: Paths of all that were kept, the oldest first.
    """

    latest: str
    all_paths: tuple[str, ...] = ()


_FIELD = re.compile(
    r"""\s* (?: \#[^\n]*
             | (?P<name>\w+) \s*:\s*
               (?P<value> "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' | [-+\w.]+ ) [;,]? )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|(.))", re.DOTALL)
_SIMPLE = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}


def is_checkpoint_state(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a state file."""
    return re.match(rb"(\s|#[^\n]*\n)*(all_)?model_checkpoint_paths?\s*:", head) is not None


def read_checkpoint_state(source: Source) -> CheckpointState:
    """Read the state file that is called `checkpoint`.

    Raises:
        CorruptError: It is no such file.
        LimitError: It is larger than `panmodel.limits` allows.
    """
    if source.size > DEFAULT.text_bytes:
        raise LimitError(f"has {source.size} bytes, the cap is {DEFAULT.text_bytes}", where=source.name)
    text = _text(source.read(0, source.size), source.name).rstrip()
    position, latest, kept = 0, "", []
    while position < len(text):
        field = _FIELD.match(text, position)
        if field is None:
            line = text.count("\n", 0, len(text) - len(text[position:].lstrip())) + 1
            raise CorruptError("is no state file of a checkpoint", where=f"{source.name}, line {line}")
        position = field.end()
        if field["name"] == "model_checkpoint_path":
            latest = _unquoted(field["value"], source.name)
        elif field["name"] == "all_model_checkpoint_paths":
            kept.append(_unquoted(field["value"], source.name))
    if not latest:
        raise CorruptError("names no checkpoint (model_checkpoint_path)", where=source.name)
    return CheckpointState(latest, tuple(kept))


def encode_checkpoint_state(state: CheckpointState) -> bytes:
    """The state file."""
    lines = [f"model_checkpoint_path: {_quoted(state.latest)}\n"]
    lines += [f"all_model_checkpoint_paths: {_quoted(path)}\n" for path in state.all_paths]
    return "".join(lines).encode()


def _quoted(text: str) -> str:
    """A string of the text form of protocol buffers; every byte that is not plain ASCII is an octal number."""
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03o}" for byte in os.fsencode(text))
    return f'"{"".join(plain)}"'


def _text(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise CorruptError("is no UTF-8 text", where=where) from None


def _unquoted(value: str, where: str) -> str:
    def one(found: re.Match[bytes]) -> bytes:
        octal, digits, letter = found.groups()
        if octal or digits:
            return bytes((int(octal, 8) & 0xFF if octal else int(digits, 16),))
        return _SIMPLE.get(letter, letter)

    inner = value[1:-1] if value[:1] in ("'", '"') else value
    return _text(_ESCAPE.sub(one, inner.encode()), where)
