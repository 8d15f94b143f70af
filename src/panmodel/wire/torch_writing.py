"""Writes what torch.save writes since 1.6: a zip file with a pickle, and one member for each storage.

Source: torch/serialization.py (`_save`), torch/_utils.py (the rebuild functions).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from panmodel.dtypes import DType
from panmodel.errors import UnsupportedError
from panmodel.io.sink import StagedFile
from panmodel.wire.pickle import Global, Object, PersistentId, dump
from panmodel.wire.writable import Writable
from panmodel.wire.zip_writer import ArchiveWriter

VERSION = 3


def save(
    tensors: Mapping[str, Writable],
    staged: StagedFile,
    *,
    modules: Mapping[str, Mapping[str, object]] = MappingProxyType({}),
    root: str = "archive",
) -> None:
    """Write a state dict, an OrderedDict of tensors, as torch.save does. Bytes pass through in pieces.

    Args:
        tensors: Name → tensor. One that appears under two names gets one storage.
        staged: The file to write.
        modules: Module name → its version, which `load_state_dict` looks for in `_metadata`.
        root: The folder in the archive.

    Raises:
        UnsupportedError: Tensors that torch has no type for; nothing is written.
    """
    foreign = [f"{name} ({tensor.dtype})" for name, tensor in tensors.items() if not _is_plain(tensor.dtype)]
    if foreign:
        shown = ", ".join(foreign[:10]) + (f" and {len(foreign) - 10} more" if len(foreign) > 10 else "")
        raise UnsupportedError(f"torch has no type for {shown}", where=str(staged.final))
    storages: dict[int, tuple[str, Writable]] = {}
    state_dict = Object(_ORDERED_DICT)
    for name, tensor in tensors.items():
        key, _ = storages.setdefault(id(tensor), (str(len(storages)), tensor))
        state_dict.items.append((name, _pickled(tensor, key)))
    if modules:
        metadata = Object(_ORDERED_DICT, items=[(name, dict(told)) for name, told in modules.items()])
        state_dict.states.append({"_metadata": metadata})
    archive = ArchiveWriter(staged)
    for name, content in (("data.pkl", dump(state_dict)), ("byteorder", b"little")):
        archive.add(f"{root}/{name}", [content], len(content))
    for key, tensor in storages.values():
        archive.add(f"{root}/data/{key}", tensor.chunks(), tensor.nbytes)
    archive.add(f"{root}/version", [b"%d\n" % VERSION], 2)
    archive.close()


def _is_plain(dtype: DType) -> bool:
    """Whether torch has plain tensors of a type; those of quantized types have a scale besides."""
    return dtype.torch is not None and not dtype.torch.startswith("q")


_ORDERED_DICT = Global("collections", "OrderedDict")
_REBUILD_V2, _REBUILD_V3 = Global("torch._utils", "_rebuild_tensor_v2"), Global("torch._utils", "_rebuild_tensor_v3")
_UNTYPED = Global("torch.storage", "UntypedStorage")


def _pickled(tensor: Writable, key: str) -> Object:
    """The call that rebuilds a tensor, contiguous from the begin of its own storage."""
    dtype, strides, step = tensor.dtype, [], 1
    for extent in reversed(tensor.shape):
        strides.append(step)
        step *= max(extent, 1)
    typed = dtype.torch_storage is not None
    kind = Global("torch", dtype.torch_storage) if dtype.torch_storage else _UNTYPED
    storage = PersistentId(("storage", kind, key, "cpu", tensor.nbytes // (dtype.itemsize if typed else 1)))
    args = (storage, 0, tensor.shape, tuple(reversed(strides)), False, Object(_ORDERED_DICT))
    if typed:
        return Object(_REBUILD_V2, args)
    return Object(_REBUILD_V3, (*args, Global("torch", str(dtype.torch))))
