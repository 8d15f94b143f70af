"""PyTorch source: a Python module to read and edit, its weights in safetensors and its names in JSON beside it.

The source is text here, read and written and never executed.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePath

from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.limits import DEFAULT
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.model.tensor import StoredTensor
from panmodel.model.torch.source import SOURCE_MARK, TorchSource, check_names, stage_source
from panmodel.wire import safetensors

_BEGINNING = 200  # bytes in which the mark must be
_CLASS = re.compile(r"^class (\w+)\(nn\.Module\)", re.MULTILINE)


def sniff(location: Location) -> bool:
    """Whether it is a module that panmodel wrote."""
    return any(line.startswith(SOURCE_MARK.encode()) for line in location.head(_BEGINNING).splitlines())


def read(location: Location) -> Model:
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
    program = TorchSource(source, _class_name(source, names, location), state, names)
    return Model(FORMAT.name, program, state, metadata={"framework": "pytorch"}, source=str(location))


def _text(location: Location) -> str:
    file = location.open()
    if file.size > DEFAULT.text_bytes:
        raise LimitError(f"a text of {file.size} bytes exceeds {DEFAULT.text_bytes}", where=str(location))
    try:
        return file.read(0, file.size).decode()
    except UnicodeDecodeError:
        raise CorruptError("is not UTF-8 text", where=str(location)) from None


def _class_name(source: str, names: dict[str, object], location: Location) -> str:
    """The class that is the model: as the names say, else the last one (what it is made of stands before it)."""
    stated = names.get("class")
    if isinstance(stated, str):
        return stated
    classes = _CLASS.findall(source)
    if not classes:
        raise CorruptError("has no class of nn.Module", where=str(location))
    return str(classes[-1])


def write(model: Model, sink: Sink) -> None:
    """Write `net.py`, `net.safetensors` and `net.names.json`.

    Raises:
        UnsupportedError: The model is no PyTorch source, or a tensor is of a type that safetensors does not have.
    """
    program = model.program
    if not isinstance(program, TorchSource):
        raise UnsupportedError("only a model with a graph can become PyTorch source", where=str(sink.target))
    stem = PurePath(sink.target).stem
    safetensors.save(program.state, sink.open(f"{stem}.safetensors"), {"format": "pt"})
    stage_source(program, sink, stem)


def _files(target: str) -> tuple[str, ...]:
    stem = PurePath(target).stem
    return f"{stem}.safetensors", f"{stem}.names.json", f"{stem}.py"


FORMAT = Format(
    name="torch_source",
    summary="PyTorch source: a readable nn.Module, weights and names beside it",
    extensions=(".py",),
    spec="https://docs.pytorch.org/docs/stable/nn.html",
    holds=Holds.WEIGHTS | Holds.GRAPH,
    sniff=sniff,
    read=read,
    write=write,
    dialect="torch",
    files=_files,
)
