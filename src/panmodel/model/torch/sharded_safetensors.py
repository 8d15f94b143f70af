"""Distributed checkpoints in safetensors files: each rank's part of the tensors, with its place among the strings.

    shard-00001-model-00001-of-00001.safetensors    "DCP_SHARDING_INFO": {"w": {"saved_offsets": [0, 4]}} (as text)

Source: torch/distributed/checkpoint/hf_storage.py, _hf_utils.py (torch 2.8 to 2.13).
"""

from __future__ import annotations

import math
import re

from panmodel.errors import CorruptError, LimitError
from panmodel.io.source import Location
from panmodel.limits import DEFAULT
from panmodel.model.partitioned import Part, PartitionedTensor
from panmodel.model.tensor import StoredTensor, Tensor
from panmodel.wire import safetensors, strict_json

_INFO = "DCP_SHARDING_INFO"
_NAME = re.compile(r"shard-\d{5}-model-\d{5}-of-\d{5}\.safetensors")
_HEAD = 4096


def shard_files(location: Location) -> list[str]:
    """Names of such files in a folder; none unless there are two or more, the first with the places of its parts."""
    if not location.is_folder:
        return []
    names = [name for name in location.names() if _NAME.fullmatch(name)]
    return names if len(names) > 1 and _INFO.encode() in location.beside(names[0]).head(_HEAD) else []


def read_shards(location: Location, names: list[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of all files, put together when they are read.

    Args:
        location: The folder.
        names: From `shard_files`.

    Returns:
        The tensors, each as large as its parts reach; and what the files say beside.

    Raises:
        CorruptError: A file is damaged, or its parts have no proper places.
        LimitError: There are more files than `limits` allow.
    """
    if len(names) > DEFAULT.shards:
        raise LimitError(f"{len(names)} shards exceed {DEFAULT.shards}", where=str(location))
    parts: dict[str, list[Part]] = {}
    metadata: dict[str, str] = {}
    for name in names:
        source = location.contained(name)
        header = safetensors.read_header(source)
        metadata |= header.metadata
        text = header.metadata.get(_INFO, "{}").encode()
        places = strict_json.parse(text, source.name, _INFO)
        for entry in header.entries:
            start = _start(places.get(entry.name), len(entry.shape))
            if start is None:
                message = f"{_INFO} does not say where the part of tensor {entry.name[:200]!r} belongs"
                raise CorruptError(message, where=source.name)
            tensor = StoredTensor(entry.name, entry.dtype, entry.shape, entry.extent)
            parts.setdefault(entry.name, []).append(Part(start, tensor))
    metadata.pop(_INFO, None)
    return {name: _whole(name, listed, str(location)) for name, listed in parts.items()}, metadata


def _start(place: object, rank: int) -> tuple[int, ...] | None:
    offsets = place.get("saved_offsets") if isinstance(place, dict) else None
    if not isinstance(offsets, list) or len(offsets) != rank:
        return None
    return tuple(offsets) if all(type(at) is int and 0 <= at < 1 << 63 for at in offsets) else None


def _whole(name: str, parts: list[Part], where: str) -> Tensor:
    first = parts[0].tensor
    if any((part.tensor.dtype, len(part.start)) != (first.dtype, len(first.shape)) for part in parts):
        raise CorruptError(f"the parts of tensor {name[:200]!r} differ in type or rank", where=where)
    ends = (tuple(at + size for at, size in zip(part.start, part.tensor.shape, strict=True)) for part in parts)
    shape = tuple(map(max, zip(*ends, strict=True)))
    if math.prod(max(size, 1) for size in shape) * first.dtype.itemsize >= 1 << 62:
        raise CorruptError(f"tensor {name[:200]!r} of shape {shape} is larger than can be addressed", where=where)
    return first if len(parts) == 1 and first.shape == shape else PartitionedTensor(name, first.dtype, shape, parts)
