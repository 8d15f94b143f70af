"""safetensors: named tensors and strings, nothing else; in one file, or in shards with an index.

What else a model has, and other formats keep (`Model.structure`), is among the strings as JSON. A tensor of several
names is written under each, for the format cannot say that two are one, and its loaders look for all of them.

Source: https://github.com/huggingface/safetensors (README, section Format).
"""

from __future__ import annotations

from collections.abc import Mapping

from panmodel.errors import PanmodelError
from panmodel.io.sink import Sink
from panmodel.io.source import FileSource, Location
from panmodel.model import shards, structure
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.model.notice import StructureLost
from panmodel.model.tensor import StoredTensor, Tensor
from panmodel.model.training import unassigned
from panmodel.wire import safetensors

_NATIVE = {"tensorflow": "tf", "pytorch": "pt"}  # what loaders look for under "format"


def sniff(location: Location) -> bool:
    """Whether the file begins as the format does, or is an index of such files; of a folder, its main file tells."""
    main = shards.main_file(location, _KIND)
    return main is not None and (_sniff_file(main) or shards.is_index(main, _KIND))


def _sniff_file(location: Location) -> bool:
    head = location.head(9)
    return bool(head) and safetensors.looks_like(head, location.open().size)


_KIND = shards.ShardKind((".safetensors",), _sniff_file)


def read(location: Location) -> Model:
    """Open a file, or all shards of a model; only headers are read.

    Args:
        location: A file, an index, any of its shards, or a folder with one of these.

    Raises:
        CorruptError: It breaks a rule of the format, or shards and index contradict each other.
        MissingFileError: A shard is not there.
    """
    main = shards.main_file(location, _KIND) or location
    index = shards.find_index(main, _KIND)
    strings: dict[str, str] = {}
    if index is None:
        tensors = _read_file(main.open(), strings)
    else:
        tensors = index.collect(lambda source: _read_file(source, strings))
        strings |= {key: value for key, value in index.metadata.items() if isinstance(value, str)}
    text = strings.pop(structure.METADATA_KEY, None)
    model = Model(FORMAT.name, tensors=tensors, strings=strings, source=str(location))
    model.notices = shards.lone_shard(main) if index is None else []
    if text is not None:
        _restore(model, text)
    model.notices += unassigned(model.training, tensors)
    if model.training is None:  # names may still tell what a TensorFlow checkpoint told by them
        model.training = structure.training_told(tensors, None)
    return model


def _read_file(source: FileSource, strings: dict[str, str]) -> Mapping[str, Tensor]:
    """The tensors of one file; its strings are added to those of the files before it."""
    header = safetensors.read_header(source)
    strings |= header.metadata
    return {entry.name: StoredTensor(entry.name, entry.dtype, entry.shape, entry.extent) for entry in header.entries}


def _restore(model: Model, text: str) -> None:
    """Take up the structure, or say that it is none: anybody may write any string into a file."""
    try:
        found = structure.decode(text, model.tensors, model.source)
        model.training, model.structure = found.training_state(model.tensors), found
    except PanmodelError as error:
        model.notices.append(StructureLost(f"{structure.METADATA_KEY} in the metadata is not understood ({error})"))


def write(model: Model, sink: Sink) -> None:
    """Write the model's tensors, strings and structure.

    Raises:
        UnsupportedError: A tensor of a type that the format does not have.
    """
    metadata = _strings(model)
    if sink.shard_size is None:
        safetensors.save(model.tensors, sink.open(), metadata)
        return
    safetensors.check_writable(model.tensors, str(sink.target), metadata)
    native = {key: metadata[key] for key in ("format",) if key in metadata}
    shards.write_shards(
        model.tensors,
        sink,
        lambda tensors, staged: safetensors.save(tensors, staged, native),
        ties_share=False,
        metadata=metadata,
    )


def _strings(model: Model) -> dict[str, str]:
    """What the header says beside the tensors. To what a file of this format says nothing is added."""
    strings = dict(model.strings)
    if model.format != FORMAT.name:
        strings.setdefault("format", _NATIVE.get(model.metadata.get("framework", ""), "pt"))
    if model.structure is not None:
        strings[structure.METADATA_KEY] = structure.encode(model.structure)
    return strings


FORMAT = Format(
    name="safetensors",
    summary="safetensors: named tensors in one flat file, or in shards with an index",
    extensions=(".safetensors",),
    spec="https://github.com/huggingface/safetensors#format",
    holds=Holds.WEIGHTS | Holds.TRAINING | Holds.METADATA,
    sniff=sniff,
    read=read,
    write=write,
    shards=shards.index_names,
    structures=structure.FAMILIES,
    keeps_strings=True,
    keeps_ties=False,
)
