"""PyTorch source: a Python module to read and edit, its weights in safetensors and its names in JSON beside it.

The source is text here, read and written and never executed.
"""

from __future__ import annotations

from pathlib import PurePath

from panmodel.errors import UnsupportedError
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.wire import safetensors

_BEGINNING = 200  # bytes in which the mark must be


def sniff(location: Location) -> bool:
    """Whether it is a module that panmodel wrote."""
    from panmodel.model.torch.source import SOURCE_MARK

    return any(line.startswith(SOURCE_MARK.encode()) for line in location.head(_BEGINNING).splitlines())


def read(location: Location) -> Model:
    """Read the source, and open the weights and names beside it.

    Raises:
        MissingFileError: The weights or the names are not there.
        CorruptError: A file is not what it should be.
    """
    from panmodel.model.torch.source import open_source

    program = open_source(location)
    return Model(FORMAT.name, program, program.state, metadata={"framework": "pytorch"}, source=str(location))


def write(model: Model, sink: Sink) -> None:
    """Write `net.py`, `net.safetensors` and `net.names.json`.

    Raises:
        UnsupportedError: The model is no PyTorch source, or a tensor is of a type that safetensors does not have.
    """
    from panmodel.model.torch.source import TorchSource, stage_source

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
