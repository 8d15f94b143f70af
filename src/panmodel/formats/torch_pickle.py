"""PyTorch's .pt, .pth and .bin: what torch.save ever wrote, and pickles with tensors. Nothing in them is executed.

State dicts, training checkpoints, whole modules; in a zip archive (since 1.6), behind a magic number (legacy), in a tar
archive (0.1), or sharded with an index as Hugging Face does. Written is the zip archive, alone or in shards.

Source: torch/serialization.py, https://docs.pytorch.org/docs/stable/notes/serialization.html
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING

from panmodel.errors import PanmodelError, UnsafeError, UnsupportedError
from panmodel.io.sink import Sink
from panmodel.io.source import FileSource, Location
from panmodel.model import shards
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.model.notice import Assumed, MetadataLost, Notice, StructureLost
from panmodel.model.tensor import Tensor
from panmodel.wire.tar import is_tar
from panmodel.wire.zip import Archive, first_name, is_zip

if TYPE_CHECKING:
    from panmodel.model.torch.checkpoint import Contents
    from panmodel.model.torch.structure import Nested
    from panmodel.wire.torch_container import Loaded


_HEAD = 512
_PROTOCOLS = range(2, 6)
_STOP = b"."
#: What pickles of protocols 0 and 1 begin with, which have no mark: a container, or what makes an object.
_EARLY = (b"(", b"]", b"}", b"c")
#: A plain pickle of this name, with these bytes at its beginning, describes the files of a distributed checkpoint.
_DISTRIBUTED = (".metadata", b"torch.distributed.checkpoint")


def sniff(location: Location) -> bool:
    """Whether it is a file of torch.save or a pickle, or an index of such files; of a folder, its main file tells."""
    main = shards.main_file(location, _KIND)
    return main is not None and (_sniff_file(main) or shards.is_index(main, _KIND))


def _sniff_file(location: Location) -> bool:
    head = location.head(_HEAD)
    if is_zip(head):
        return _sniff_zip(location)
    if is_tar(head):
        return True
    if head[:1] != b"\x80":
        if head[:1] not in _EARLY:
            return False
        from panmodel.wire.torch_container import begins_unmarked

        return begins_unmarked(head) and _ends_as_pickle(location)
    from panmodel.wire.torch_container import container_of

    if container_of(head) == "legacy":
        return True
    if head[1:2] == b"" or head[1] not in _PROTOCOLS:
        return False
    if location.path.name == _DISTRIBUTED[0] and _DISTRIBUTED[1] in head:
        return False
    return _ends_as_pickle(location)


def _ends_as_pickle(location: Location) -> bool:
    source = location.open()
    return source.read(source.size - 1, 1) == _STOP


def _sniff_zip(location: Location) -> bool:
    """Whether it is an archive of torch.save: a data.pkl, and no code of TorchScript; or what is left of one.

    Of a damaged archive the first member tells, so that what is wrong is said by the reader.
    """
    from panmodel.wire.torch_zip import find_root, is_broken_off

    source = location.open()
    try:
        names = list(location.once(Archive).members)
    except PanmodelError:
        return first_name(source).endswith("/data.pkl")
    root = find_root(names)
    if root is None:
        return is_broken_off(names)
    return not any(name == f"{root}/constants.pkl" or name.startswith(f"{root}/code/") for name in names)


_KIND = shards.ShardKind((".bin", ".pt", ".pth"), _sniff_file, yields_to=(".safetensors",))


def read(location: Location) -> Model:
    """Open a state dict, a training checkpoint or a whole module; no storage is read.

    Nested dictionaries give names joined by dots. What lies in the state dict of a checkpoint goes by its name there.

    Args:
        location: A file, an index, or a folder with one of these.

    Raises:
        CorruptError: The container or its pickle is broken.
        UnsafeError: The pickle names things that checkpoints do not consist of; all of them are listed.
        UnsupportedError: It holds neither tensors nor containers, or tensors of a kind that is not read.
    """
    from panmodel.model.structure import training_told
    from panmodel.model.training import unassigned

    main = shards.main_file(location, _KIND) or location
    index = shards.find_index(main, _KIND)
    model = _read_file(main.open()) if index is None else _read_shards(index, str(location))
    if index is None:
        model.notices += shards.lone_shard(main)
    model.notices += unassigned(model.training, model.tensors)
    if model.training is None:  # tensors of a TensorFlow checkpoint still tell their slots by their names
        model.training = training_told(model.tensors, None)
    return model


def _read_shards(index: shards.ShardIndex, where: str) -> Model:
    parts: list[Model] = []

    def read_shard(source: FileSource) -> Mapping[str, Tensor]:
        parts.append(_read_file(source))
        return parts[-1].tensors

    tensors = index.collect(read_shard)
    metadata = {key: value for part in reversed(parts) for key, value in part.metadata.items()}
    metadata |= {"shards": len(index.shards)}
    notices = [notice for part in parts for notice in part.notices]
    return Model(FORMAT.name, tensors=tensors, metadata=metadata, notices=notices, source=where)


def _read_file(source: FileSource) -> Model:
    from panmodel.model.torch.checkpoint import contents
    from panmodel.model.torch.description import describe_file
    from panmodel.model.torch.skeleton import Branch, Leaf
    from panmodel.model.torch.storage import tied_tensors
    from panmodel.model.torch.structure import Nested, is_flat
    from panmodel.model.torch.training import told
    from panmodel.wire.pickle import describe
    from panmodel.wire.torch_container import load

    loaded = load(source)
    _refuse_code(loaded, source.name)
    found = contents(loaded.value, source.name)
    if not isinstance(found.root, (Branch, Leaf)):
        raise UnsupportedError(f"holds {describe(loaded.value)}, which is no state dict", where=source.name)
    tensors = tied_tensors(found.tensors)
    training, used = told(found.root, tensors)
    structure = None if is_flat(found.root) else Nested(found.root)
    metadata = describe_file(loaded, found, used)
    model = Model(FORMAT.name, tensors=tensors, training=training, structure=structure, metadata=metadata)
    model.source = source.name
    _say_losses(model, found, loaded)
    return model


def _refuse_code(loaded: Loaded, where: str) -> None:
    from panmodel.model.torch.classes import refused
    from panmodel.wire.pickle import describe

    names = refused(loaded)
    if names:
        shown = ", ".join(map(describe, names))
        message = f"the pickle names {len(names)} thing(s) that are no part of a checkpoint: {shown}"
        hint = "unpickling it would execute them; ask its author for safetensors or a plain state dict"
        raise UnsafeError(message, where=where, hint=hint)


def _say_losses(model: Model, found: Contents, loaded: Loaded) -> None:
    """What is not kept of the pickle."""
    if loaded.pickles > 1:
        model.notices.append(Assumed(f"takes the {loaded.pickles} pickles that lie behind each other as a list"))
    if loaded.behind is not None:
        detail = f"what lies behind the last storage, from byte {loaded.behind} on, where torch.load stops reading too"
        model.notices.append(MetadataLost(detail))
    if found.opaque:
        model.notices.append(MetadataLost("values that are neither tensors nor plain values", tuple(found.opaque)))
    if found.uninitialized:
        detail = "parameters of lazy modules, which have no shape before the module is used"
        model.notices.append(MetadataLost(detail, tuple(found.uninitialized)))
    if found.unregistered:
        detail = "tensors that are attributes of modules, and no part of their state dict"
        model.notices.append(MetadataLost(detail, tuple(found.unregistered)))
    for what, names in found.changed.items():
        model.notices.append(Assumed(f"takes {what}", tuple(name or "the whole file" for name in names)))


def write(model: Model, sink: Sink) -> None:
    """Write what torch loads with `weights_only=True` and `mmap=True`: a state dict, or the containers that it was in.

    Of PyTorch source it is the state dict of the module, and the module is written beside it. A training checkpoint
    cannot be split into shards.

    Raises:
        UnsupportedError: A tensor of a type that torch does not have, or without a place in the structure.
    """
    from panmodel.model.torch.placing import placed
    from panmodel.model.torch.source import TorchSource, stage_source
    from panmodel.model.torch.structure import Nested
    from panmodel.wire import torch_writing

    program, where = model.program, str(sink.target)
    if isinstance(program, TorchSource):
        torch_writing.save(torch_writing.state_dict(program.state), sink.open())
        stage_source(program, sink, PurePath(sink.target).stem)
        return
    modules = model.metadata.get("modules", {})
    structure = model.structure if isinstance(model.structure, Nested) else None
    if sink.shard_size is not None:
        _write_shards(model, sink, structure)
    elif structure is not None:
        torch_writing.save(placed(structure.root, model.tensors, where), sink.open())
    else:
        torch_writing.check(model.tensors, where)
        torch_writing.save(torch_writing.state_dict(model.tensors, modules), sink.open())


def _loses(model: Model, sharded: bool) -> list[Notice]:
    """Which tensors shared memory in the file they come from, and are written each by itself; and what shards lack."""
    lost: list[Notice] = []
    if sharded and model.structure is not None and model.structure.family == "torch":
        lost.append(StructureLost("what the file holds beside tensors is not kept in shards"))
    apart: list[str] = []
    for names in model.metadata.get("shared_storages", ()):
        there = [name for name in names if name in model.tensors]
        if len({id(model.tensors[name]) for name in there}) > 1:
            apart += there
    if apart:
        lost.append(StructureLost("views of one storage are written each by itself", tuple(apart)))
    return lost


def _write_shards(model: Model, sink: Sink, structure: Nested | None) -> None:
    from panmodel.wire import torch_writing

    if structure is not None and model.training is not None:
        hint = "leave out --shard-size, or the training state with --drop-training"
        raise UnsupportedError("a training checkpoint is not written in shards", where=str(sink.target), hint=hint)
    torch_writing.check(model.tensors, str(sink.target))
    modules = model.metadata.get("modules", {})
    shards.write_shards(
        model.tensors,
        sink,
        lambda tensors, staged: torch_writing.save(torch_writing.state_dict(tensors, modules), staged),
    )


FORMAT = Format(
    name="torch_pickle",
    summary="PyTorch state dicts, checkpoints and modules (torch.save)",
    extensions=(".pt", ".pth", ".bin", ".pkl"),
    spec="https://docs.pytorch.org/docs/stable/notes/serialization.html",
    holds=Holds.WEIGHTS | Holds.TRAINING | Holds.METADATA,
    sniff=sniff,
    read=read,
    write=write,
    dialect="torch",
    shards=shards.index_names,
    loses=_loses,
    structures=frozenset({"torch"}),
)
