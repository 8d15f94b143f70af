"""Every container that torch.save has ever written, and plain pickles with tensors in them.

    zip      since 1.6: a pickle and the storages, as members of an archive
    legacy   0.1.? to 1.5: a magic number, four pickles, and the storages behind them
    tar      until 0.1.10: a pickle, the tensors and the storages, as members of an archive
    pickle   no container at all: tensors stand in the pickle, as files of their own; there may be several pickles

Source: torch/serialization.py (`load`, `_load`, `_legacy_load`), torch/storage.py (`_load_from_bytes`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from panmodel.errors import PanmodelError, TruncatedError
from panmodel.io.source import Source
from panmodel.limits import DEFAULT, Limits
from panmodel.wire.pickle import Constructor, Global, Machine, Window
from panmodel.wire.torch_legacy import is_legacy, load_legacy
from panmodel.wire.torch_tar import is_tar, load_tar
from panmodel.wire.torch_unpickling import Loaded, Unpickling
from panmodel.wire.torch_zip import load_zip
from panmodel.wire.zip import is_zip

__all__ = ["Loaded", "begins_unmarked", "container_of", "load"]

_SMALL = 1 << 20  # bytes of a pickle that is held as a whole
_HEAD = 512  # bytes by which a container is told


def load(
    source: Source, *, also: Mapping[Global, Constructor | None] = MappingProxyType({}), limits: Limits = DEFAULT
) -> Loaded:
    """Open a file of torch.save, or a plain pickle. Nothing in it is executed, and no storage is read.

    Args:
        source: The file.
        also: Names that its pickles may mention beside those of the allow-list, and their constructors.
        limits: Caps on what it asks for.

    Raises:
        CorruptError: The container or its pickle is broken, or a tensor lies outside its storage.
        UnsupportedError: A storage or tensor of a kind that is not read.
    """
    return _load(Unpickling(source, also, limits, _load))


def _load(unpickling: Unpickling) -> Loaded:
    head = unpickling.source.read(0, min(_HEAD, unpickling.source.size))
    loaders = {"zip": load_zip, "legacy": load_legacy, "tar": load_tar, "pickle": _load_pickle}
    return loaders[container_of(head)](unpickling)


def container_of(head: bytes) -> str:
    """Which container a file that begins with these bytes (512, if it has them) is: "pickle" if none."""
    if is_zip(head):
        return "zip"
    if is_legacy(head):
        return "legacy"
    return "tar" if is_tar(head) else "pickle"


def begins_unmarked(head: bytes) -> bool:
    """Whether bytes begin a pickle of protocol 0 or 1, such as Python 2 wrote: they run as one, up to their end.

    Args:
        head: So many of them that the first container or name is among them (512).
    """
    machine = Machine(head, where="")
    try:
        machine.run()
    except TruncatedError:
        pass
    except PanmodelError:
        return False
    names = [part for name in machine.globals for part in f"{name.module}.{name.name}".split(".")]
    return all(map(str.isidentifier, names)) and bool(names or machine.memo)


def _load_pickle(unpickling: Unpickling) -> Loaded:
    """Pickles without a container, the value of several as a list: tensors are files of torch.save in themselves."""
    source, limits = unpickling.source, unpickling.limits
    data = source.read(0, source.size) if source.size <= _SMALL else Window(source, limits)
    values = unpickling.run_each(data, source.name)
    return unpickling.finished("pickle", values[0] if len(values) == 1 else values, pickles=len(values))
