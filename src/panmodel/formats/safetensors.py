"""safetensors: named tensors and strings, nothing else.

Source: https://github.com/huggingface/safetensors (README, section Format).
"""

from __future__ import annotations

from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.model.tensor import StoredTensor
from panmodel.wire import safetensors

_NATIVE = {"tensorflow": "tf", "pytorch": "pt"}  # what loaders look for under "format"


def sniff(location: Location) -> bool:
    """Whether the file begins as the format does."""
    head = location.head(9)
    return bool(head) and safetensors.looks_like(head, location.open().size)


def read(location: Location) -> Model:
    """Open a file; only its header is read.

    Raises:
        CorruptError: It breaks a rule of the format.
    """
    header = safetensors.read_header(location.open())
    tensors = {entry.name: StoredTensor(entry.name, entry.dtype, entry.shape, entry.extent) for entry in header.entries}
    return Model(FORMAT.name, tensors=tensors, metadata=dict(header.metadata), source=str(location))


def write(model: Model, sink: Sink) -> None:
    """Write the model's tensors, and those of its metadata that are strings.

    Raises:
        UnsupportedError: A tensor of a type that the format does not have.
    """
    metadata = {key: value for key, value in model.metadata.items() if isinstance(value, str)}
    metadata.setdefault("format", _NATIVE.get(metadata.get("framework", ""), "pt"))
    safetensors.save(model.tensors, sink.open(), metadata)


FORMAT = Format(
    name="safetensors",
    summary="safetensors: named tensors in one flat file",
    extensions=(".safetensors",),
    spec="https://github.com/huggingface/safetensors#format",
    holds=Holds.WEIGHTS | Holds.METADATA,
    sniff=sniff,
    read=read,
    write=write,
)
