"""PyTorch source: the text of a module with its state dict and its names, in memory and as files.

Nothing of torch is imported, and the source is text: who wants it executed does that elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from panmodel.errors import CorruptError, LimitError
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.limits import DEFAULT
from panmodel.model.tensor import StoredTensor, Tensor
from panmodel.wire import safetensors

_CLASS = re.compile(r"^class (\w+)\(nn\.Module\)", re.MULTILINE)
SOURCE_MARK = "# Written by panmodel"  # in the first lines of every module that is written


@dataclass
class TorchSource:
    """A module as Python source, with the tensors that its state dict is to hold.

    Attributes:
        source: The text of the Python module. It loads no weights by itself.
        class_name: The class in it that is the model.
        state: Parameter or buffer name → tensor, in torch's layout.
        names: How the names came about, as JSON: original variable → parameter and permutation, and back.
    """

    dialect: ClassVar[str] = "torch"

    source: str
    class_name: str
    state: Mapping[str, Tensor]
    names: Mapping[str, Any]


def check_names(names: object, where: str) -> None:
    """Hold the content of a names file against what is read of it.

    Raises:
        CorruptError: It is not what panmodel writes; the message names the entry.
    """
    if not isinstance(names, dict):
        raise CorruptError("must be a JSON object", where=where)
    for which in ("inputs", "outputs"):
        entries = names.get(which, [])
        if not isinstance(entries, list) or not all(map(_is_described, entries)):
            raise CorruptError(f"{which!r} must be a list of tensors with dtype and shape", where=where)
    values = names.get("values", {})
    if not isinstance(values, dict) or not all(_is_named(entry) for entry in values.values()):
        raise CorruptError("'values' must name a tensor for each layer", where=where)
    if not isinstance(names.get("permutes", 0), int):
        raise CorruptError("'permutes' must be a number", where=where)


def _is_named(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("tensor"), str)


def _is_described(entry: object) -> bool:
    if not isinstance(entry, dict) or not _is_named(entry) or not isinstance(entry.get("dtype"), (str, type(None))):
        return False
    shape = entry.get("shape")
    return shape is None or (isinstance(shape, list) and all(isinstance(size, (int, str)) for size in shape))


def stage_source(program: TorchSource, sink: Sink, stem: str) -> None:
    """Write `<stem>.py` and `<stem>.names.json`.

    Args:
        program: The module.
        sink: Where to; its target may be the `.py` itself.
        stem: What the files are called.
    """
    sink.open(f"{stem}.py").write(program.source.encode())
    names = {"class": program.class_name, **program.names}
    sink.open(f"{stem}.names.json").write(json.dumps(names, indent=1).encode() + b"\n")


def open_source(location: Location) -> TorchSource:
    """Read the source, and open the weights and names beside it.

    Raises:
        MissingFileError: The weights or the names are not there.
        CorruptError: A file is not what it should be.
    """
    stem = location.path.stem
    source = _text(location)
    beside = location.beside(f"{stem}.names.json")
    try:
        names = json.loads(_text(beside))
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"is not JSON: {str(error)[:200]}", where=str(beside)) from None
    check_names(names, str(beside))
    header = safetensors.read_header(location.beside(f"{stem}.safetensors").open())
    state = {entry.name: StoredTensor(entry.name, entry.dtype, entry.shape, entry.extent) for entry in header.entries}
    return TorchSource(source, _class_name(source, names, location), state, names)


def _text(location: Location) -> str:
    file = location.open()
    if file.size > DEFAULT.text_bytes:
        raise LimitError(f"a text of {file.size} bytes exceeds {DEFAULT.text_bytes}", where=str(location))
    try:
        return file.read(0, file.size).decode()
    except UnicodeDecodeError:
        raise CorruptError("is not UTF-8 text", where=str(location)) from None


def _class_name(source: str, names: Mapping[str, object], location: Location) -> str:
    """The class that is the model: as the names say, else the last one (what it is made of stands before it)."""
    stated = names.get("class")
    if isinstance(stated, str):
        return stated
    classes = _CLASS.findall(source)
    if not classes:
        raise CorruptError("has no class of nn.Module", where=str(location))
    return str(classes[-1])
