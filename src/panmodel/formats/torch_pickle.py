"""PyTorch's .pt, .pth and .bin since 1.6: a zip archive with a pickle and the storages. Nothing in it is executed.

Source: torch/serialization.py, https://docs.pytorch.org/docs/stable/notes/serialization.html
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from panmodel.errors import PanmodelError, UnsafeError, UnsupportedError
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.model.notice import MetadataLost
from panmodel.model.tensor import Tensor
from panmodel.model.torch.checkpoint import Contents, contents, state_dict_of, training_state
from panmodel.model.torch.source import TorchSource, stage_source
from panmodel.model.torch.storage import from_record
from panmodel.wire import torch_writing, torch_zip
from panmodel.wire.pickle import Object, describe
from panmodel.wire.torch_records import TensorRecord
from panmodel.wire.zip import Archive, first_name, is_zip


def sniff(location: Location) -> bool:
    """Whether it is an archive of torch.save: a data.pkl, and no code of TorchScript.

    Of a damaged archive the first member tells, so that what is wrong is said by the reader.
    """
    if not is_zip(location.head(4)):
        return False
    source = location.open()
    try:
        names = list(Archive(source).members)
    except PanmodelError:
        return first_name(source).endswith("/data.pkl")
    root = torch_zip.find_root(names)
    if root is None:
        return False
    return not any(name == f"{root}/constants.pkl" or name.startswith(f"{root}/code/") for name in names)


def read(location: Location) -> Model:
    """Open a state dict or a training checkpoint; no storage is read.

    Nested dictionaries give names joined by dots. What lies in the state dict of a checkpoint goes by its name there.

    Raises:
        CorruptError: The archive or its pickle is broken.
        UnsafeError: The pickle names things that a state dict does not consist of; all of them are listed.
        UnsupportedError: It is a whole pickled module, or has tensors that are no plain arrays.
    """
    loaded = torch_zip.load(location.open())
    _refuse_code(loaded, str(location))
    inside, found = _named(loaded, str(location))
    tensors = _tensors(loaded, found.tensors)
    training, used = training_state(loaded.value, inside, found, tensors)
    metadata = _metadata(loaded, inside, found, used)
    model = Model(FORMAT.name, tensors=tensors, training=training, metadata=metadata, source=str(location))
    if found.opaque:
        model.notices.append(MetadataLost("values that are neither tensors nor plain values", tuple(found.opaque)))
    return model


def _refuse_code(loaded: torch_zip.Loaded, where: str) -> None:
    """Tell a whole module from a file that calls what it should not."""
    value = loaded.value
    if loaded.unknown and not loaded.called and isinstance(value, Object) and _is_module(value):
        hint = "in a process that you trust the file in, load it with torch and save its state_dict()"
        message = f"is a whole pickled module of the class {describe(value.cls)}, which is not read yet"
        raise UnsupportedError(message, where=where, hint=hint)
    if loaded.unknown:
        names = ", ".join(describe(name) for name in loaded.unknown)
        message = f"the pickle names {len(loaded.unknown)} thing(s) that are no part of a state dict: {names}"
        hint = "unpickling it would execute them; ask its author for safetensors or a plain state dict"
        raise UnsafeError(message, where=where, hint=hint)


def _is_module(value: Object) -> bool:
    return any(isinstance(state, dict) and {"_modules", "_parameters"} <= set(state) for state in value.states)


def _named(loaded: torch_zip.Loaded, where: str) -> tuple[str, Contents]:
    """The key of the state dict ("" if the file is one), and everything under its name."""
    if isinstance(loaded.value, TensorRecord):
        return "", contents({"tensor": loaded.value}, where)
    if not isinstance(loaded.value, (dict, list, tuple)):
        raise UnsupportedError(f"holds {describe(loaded.value)}, which is no state dict", where=where)
    inside = state_dict_of(loaded.value)
    return inside, contents(loaded.value, where, without_prefix=inside)


def _tensors(loaded: torch_zip.Loaded, records: Mapping[str, TensorRecord]) -> dict[str, Tensor]:
    """The lazy tensors. Two names of one view, which torch ties, get one and the same."""
    made: dict[object, Tensor] = {}
    result: dict[str, Tensor] = {}
    for name, record in records.items():
        if record.identity not in made:
            made[record.identity] = from_record(name, record, loaded.archive, big_endian=loaded.big_endian)
        result[name] = made[record.identity]
    return result


def _metadata(loaded: torch_zip.Loaded, inside: str, found: Contents, used: frozenset[str]) -> dict[str, object]:
    metadata: dict[str, object] = {"framework": "pytorch"}
    if loaded.version.isdecimal():
        metadata["container_version"] = int(loaded.version[:9])
    if inside:
        metadata["state_dict"] = inside
    devices = sorted({record.storage.location for record in found.tensors.values()} - {"cpu"})
    if devices:
        metadata["devices"] = devices
    shared: dict[str, list[str]] = {}
    for name, record in found.tensors.items():
        shared.setdefault(record.storage.key, []).append(name)
    if groups := [names for names in shared.values() if len(names) > 1]:
        metadata["shared_storages"] = groups
    if values := {name: value for name, value in found.values.items() if name not in used}:
        metadata["values"] = values
    if found.modules:
        metadata["modules"] = found.modules
    return metadata


def write(model: Model, sink: Sink) -> None:
    """Write a state dict that torch loads with `weights_only=True` and `mmap=True`.

    Of PyTorch source it is that of the module, and the module is written beside it.

    Raises:
        UnsupportedError: A tensor of a type that torch does not have.
    """
    program = model.program
    state = program.state if isinstance(program, TorchSource) else model.tensors
    modules = {} if isinstance(program, TorchSource) else model.metadata.get("modules", {})
    torch_writing.save(state, sink.open(), modules=modules)
    if isinstance(program, TorchSource):
        stage_source(program, sink, PurePath(sink.target).stem)


FORMAT = Format(
    name="torch_pickle",
    summary="PyTorch state dicts and checkpoints (torch.save, since 1.6)",
    extensions=(".pt", ".pth", ".bin"),
    spec="https://docs.pytorch.org/docs/stable/notes/serialization.html",
    holds=Holds.WEIGHTS,
    sniff=sniff,
    read=read,
    write=write,
    dialect="torch",
)
