"""The container of safetensors: a length, a JSON header, and the bytes of all tensors without a gap.

    u64   N, little-endian
    N     UTF-8 JSON {name: {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {str: str}}, space-padded
    …     the tensors, little-endian and row-major

Source: https://github.com/huggingface/safetensors (README, section Format; safetensors/src/tensor.rs).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from panmodel import dtypes
from panmodel.dtypes import DType
from panmodel.errors import CorruptError, LimitError, UnsupportedError, listed
from panmodel.io.sink import StagedFile
from panmodel.io.source import Extent, Source
from panmodel.limits import DEFAULT, Limits
from panmodel.wire import strict_json
from panmodel.wire.writable import Writable

_METADATA = "__metadata__"
_LENGTH = 8
_FIELDS = {"dtype", "shape", "data_offsets"}
#: The types as the official writer puts them one after the other: the widest first, so that every tensor is aligned.
_ORDER = (
    *("U64", "I64", "F64", "C64", "F32", "U32", "I32", "BF16", "F16", "U16", "I16"),
    *("F8_E5M2FNUZ", "F8_E4M3FNUZ", "F8_E8M0", "F8_E4M3", "F8_E5M2", "I8", "U8", "F6_E3M2", "F6_E2M3", "F4", "BOOL"),
)
_RANK = {kind: rank for rank, kind in enumerate(_ORDER)}
_DAMAGED = "the file is damaged or cut short: fetch it again"


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of the header."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    extent: Extent


@dataclass(frozen=True, slots=True)
class Header:
    """A header, held against the file.

    Attributes:
        entries: Every tensor, in the order of the data.
        metadata: The strings of `__metadata__`.
    """

    entries: tuple[Entry, ...]
    metadata: Mapping[str, str]


def looks_like(head: bytes, size: int) -> bool:
    """Whether a file of that size with that beginning (9 bytes or more) may be one."""
    length = int.from_bytes(head[:_LENGTH], "little")
    return head[_LENGTH : _LENGTH + 1] == b"{" and 2 <= length <= DEFAULT.header_bytes and size > _LENGTH + 1


def read_header(source: Source, *, limits: Limits = DEFAULT) -> Header:
    """Read and check the header; no tensor is read.

    Raises:
        CorruptError: It breaks a rule of the format: duplicate names, holes, overlaps, sizes that do not fit.
        LimitError: It exceeds a cap.
    """
    length = int.from_bytes(source.read(0, _LENGTH), "little")
    if length > limits.header_bytes:
        raise LimitError(f"a header of {length} bytes exceeds {limits.header_bytes}", where=source.name)
    source.check(_LENGTH, length)
    fields = strict_json.parse(source.read(_LENGTH, length), source.name, "the header", limits=limits)
    metadata = fields.pop(_METADATA, None)
    if metadata is None:  # which the official reader takes for none as well
        metadata = {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _corrupt(source, "__metadata__ must map strings to strings")
    begin = _LENGTH + length
    entries = [_entry(source, begin, name, value, limits) for name, value in fields.items()]
    entries.sort(key=lambda entry: (entry.extent.offset, entry.extent.nbytes))
    end = begin
    for entry in entries:
        if entry.extent.offset != end:
            at = entry.extent.offset
            kind = "a hole" if at > end else "an overlap"
            raise _corrupt(source, f"{kind} before tensor {entry.name!r}, which begins at {at}, not {end}")
        end += entry.extent.nbytes
    source.check(begin, end - begin)
    if end != source.size:
        raise _corrupt(source, f"{source.size - end} bytes follow the last tensor, which ends at {end}")
    return Header(tuple(entries), metadata)


def _corrupt(source: Source, message: str) -> CorruptError:
    return CorruptError(message, where=source.name, hint=_DAMAGED)


def _entry(source: Source, begin: int, name: str, value: object, limits: Limits) -> Entry:
    if not isinstance(value, dict) or set(value) != _FIELDS:
        raise _corrupt(source, f"tensor {name!r} must have dtype, shape and data_offsets")
    kind, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    dtype = dtypes.BY_SAFETENSORS.get(kind) if isinstance(kind, str) else None
    if dtype is None:
        raise _corrupt(source, f"tensor {name!r} has the unknown dtype {str(kind)[:40]!r}")
    if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
        raise _corrupt(source, f"tensor {name!r} needs shape and two data_offsets of whole numbers from 0 on")
    if len(shape) > limits.rank:
        raise LimitError(f"tensor {name!r} has {len(shape)} dimensions", where=source.name)
    if len(name) > limits.name_bytes:
        raise LimitError(f"a tensor's name has {len(name)} characters", where=source.name)
    if math.prod(max(extent, 1) for extent in shape) * max(dtype.bits // 8, 1) >= 1 << 63:
        raise _corrupt(source, f"tensor {name!r} of shape {shape} is larger than can be addressed")
    first, last = offsets
    bits = math.prod(shape) * dtype.bits
    if bits % 8 or first > last or last - first != bits // 8:
        message = f"tensor {name!r}: {dtype}{shape} needs {bits} bits, data_offsets {first} to {last} are given"
        raise _corrupt(source, message)
    return Entry(name, dtype, tuple(shape), Extent(source, begin + first, last - first))


def _are_counts(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 63 for item in value)


def save(tensors: Mapping[str, Writable], staged: StagedFile, metadata: Mapping[str, str]) -> None:
    """Write a file, byte for byte as the official writer does; the bytes of the tensors pass through in pieces.

    Widest elements come first, so that each tensor is aligned to its own element; then by name. What has two names is
    written twice: the format has no way to say that two tensors are one.

    Raises:
        UnsupportedError: Tensors that the format has no type or no room for; nothing is written.
    """
    check_writable(tensors, str(staged.final), metadata)
    order = sorted(tensors, key=lambda name: (_RANK[tensors[name].dtype.safetensors or ""], name))
    header: dict[str, object] = {_METADATA: dict(metadata)} if metadata else {}
    position = 0
    for name in order:
        tensor = tensors[name]
        end = position + tensor.nbytes
        header[name] = {
            "dtype": tensor.dtype.safetensors,
            "shape": list(tensor.shape),
            "data_offsets": [position, end],
        }
        position = end
    data = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    data += b" " * (-len(data) % _LENGTH)
    if len(data) > DEFAULT.header_bytes:
        message = f"the names and metadata need a header of {len(data)} bytes, the format allows {DEFAULT.header_bytes}"
        raise UnsupportedError(message, where=str(staged.final))
    staged.write(len(data).to_bytes(_LENGTH, "little") + data)
    for name in order:
        written = staged.write_all(tensors[name].chunks())
        if written != tensors[name].nbytes:
            raise ValueError(f"{name}: {written} bytes came, {tensors[name].nbytes} were announced")


def check_writable(tensors: Mapping[str, Writable], where: str, metadata: Mapping[str, str]) -> None:
    """Refuse what the format cannot hold, by name.

    Args:
        tensors: What is to be written.
        where: The target, for messages.
        metadata: Strings that are to be written.

    Raises:
        UnsupportedError: A type that the format does not have, elements that end within a byte, a name that is no text.
    """
    foreign = [f"{name} ({tensor.dtype})" for name, tensor in tensors.items() if tensor.dtype.safetensors is None]
    if foreign:
        hint = "leave them out with --exclude"
        raise UnsupportedError(f"safetensors has no type for {listed(foreign, 10)}", where=where, hint=hint)
    for name, tensor in tensors.items():
        if math.prod(tensor.shape) * tensor.dtype.bits % 8:
            message = f"tensor {name!r}: {tensor.dtype}{list(tensor.shape)} ends within a byte"
            raise UnsupportedError(message, where=where)
        if len(name) > DEFAULT.name_bytes:
            message = f"tensor {name[:80]!r}… has a name of {len(name)} characters, {DEFAULT.name_bytes} are read"
            raise UnsupportedError(message, where=where)
    for text in (*tensors, *metadata, *metadata.values()):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UnsupportedError(f"the name or text {text[:200]!r} is no Unicode text", where=where) from None
    if _METADATA in tensors:
        raise UnsupportedError(f"safetensors keeps the name {_METADATA} for itself", where=where)
