"""Models in several files: an index says in which file each tensor is.

    model.safetensors.index.json        {"metadata": {"total_size": 9}, "weight_map": {"tensor": "model-00001-of-…"}}
    model-00001-of-00002.safetensors    a whole file of its format
    model-00002-of-00002.safetensors

Source: huggingface_hub/serialization/_base.py (split_state_dict_into_shards_factory), transformers/modeling_utils.py
(which file of a folder is loaded).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath
from typing import TypeVar

from panmodel.errors import CorruptError, LimitError, MissingFileError, UnsafeError, UnsupportedError, listed
from panmodel.io.sink import Sink, StagedFile
from panmodel.io.source import FileSource, Location
from panmodel.limits import DEFAULT, Limits
from panmodel.model.notice import Notice, TensorsIncomplete
from panmodel.model.tensor import Tensor
from panmodel.wire import strict_json

T = TypeVar("T")

INDEX = ".index.json"
#: diffusers puts the variant in between: `model.safetensors.index.fp16.json`.
_INDEX_NAME = re.compile(r".+\.index(\.[^.]+)?\.json")
#: The first file of a weight map, in as much of an index as is looked at to tell what it is.
_FIRST_FILE = re.compile(rb'"weight_map"\s*:\s*\{\s*(?:\}|"(?:[^"\\]|\\.)*"\s*:\s*("(?:[^"\\]|\\.)+"))')
#: What Hugging Face's writers, and those here, call a file of several.
_SHARD_NAME = re.compile(r".+-\d{5}-of-(?P<all>\d{5})\.\w+")
#: What they call the weights of a model in one file; files of other names beside it are of its training.
_WHOLE_NAME = re.compile(r"((diffusion_)?pytorch_|adapter_)?model(\.[^.]+)?(?P<extension>\.\w+)")
_HEAD = 64 << 10
_LONGEST = 256  # what no file system takes as a name
#: What to do where shards and index contradict each other.
MIXED = "shards of different models are mixed, or the index is not of these: fetch all of them again"


@dataclass(frozen=True, slots=True)
class ShardKind:
    """What the shards of an index are.

    Attributes:
        extensions: What such files are usually called, for shards that are not there to be looked at.
        sniff: Whether a file is one, by its content; raises nothing but OSError.
        yields_to: What a model's files are called that count instead where a folder has the model in both kinds.
    """

    extensions: tuple[str, ...]
    sniff: Callable[[Location], bool]
    yields_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """An index, read and checked; no shard has been opened.

    Attributes:
        location: The index file.
        metadata: What it says about the model, `total_size` for one.
        shards: File → the tensors that are in it, by the files' names.
    """

    location: Location
    metadata: Mapping[str, object]
    shards: Mapping[str, tuple[str, ...]]

    def collect(self, read_shard: Callable[[FileSource], Mapping[str, T]]) -> dict[str, T]:
        """Open every shard, and put together what they hold.

        Args:
            read_shard: Lists the tensors of one file by their names.

        Returns:
            All tensors, shard after shard, in the order of the shards.

        Raises:
            MissingFileError: A shard is not there; the message names tensors that it holds.
            CorruptError: A shard holds other tensors than the index says.
            UnsafeError: A shard is named that lies elsewhere, or is a link.
        """
        collected: dict[str, T] = {}
        for file, expected in self.shards.items():
            found = read_shard(open_shard(self.location, file, expected))
            self._compare(file, expected, found)
            collected.update(found)
        return collected

    def _compare(self, file: str, expected: tuple[str, ...], found: Mapping[str, object]) -> None:
        if absent := [name for name in expected if name not in found]:
            message = f"{file} lacks {_some(absent)}, which the index says it holds"
            raise CorruptError(message, where=str(self.location), hint=MIXED)
        if len(found) > len(expected):
            listed = set(expected)
            message = f"{file} holds {_some([name for name in found if name not in listed])}, which the index lacks"
            raise CorruptError(message, where=str(self.location), hint=MIXED)


def open_shard(index: Location, file: str, held: tuple[str, ...]) -> FileSource:
    """Open a shard that an index names.

    Args:
        index: The index.
        file: The shard's name in it.
        held: What the index says that the shard holds.

    Raises:
        MissingFileError: It is not there; the message names what it holds.
        UnsafeError: It lies elsewhere, or is a link.
    """
    try:
        return index.contained(file)
    except MissingFileError as error:
        message = f"this shard of the model is missing; it holds {_some(held)}"
        hint = f"it belongs beside {index}: fetch it too"
        raise MissingFileError(message, where=error.where, hint=hint) from None


def _some(names: list[str] | tuple[str, ...]) -> str:
    return listed([repr(name[:200]) for name in names])


# Finding


def is_index(location: Location, kind: ShardKind) -> bool:
    """Whether a file is an index of shards of this kind, by its beginning and its first shard; raises only OSError."""
    head = location.head(_HEAD)
    match = _FIRST_FILE.search(head) if head.startswith(b"{") else None
    if match is None:
        return False
    try:
        name = json.loads(match[1]) if match[1] else _whole(location.path.name)  # a model without tensors
    except ValueError:
        return False
    is_plain = PurePosixPath(name).name == name and "\0" not in name and len(name) < _LONGEST
    if is_plain and (shard := location.beside(name)).is_file:
        return kind.sniff(shard)
    return name.lower().endswith(kind.extensions)


def _whole(index: str) -> str:
    """What the model of an index would be called if it were one file."""
    return re.sub(r"\.index(\.[^.]+)?\.json$", "", index)


def main_file(location: Location, kind: ShardKind) -> Location | None:
    """The file that a model begins with.

    Args:
        location: That file itself; what the model of an index would be called in one file; or a folder: with one
            index, or one file of the kind, or one among them that is called as models are. Where a folder has both an
            index and the same model in one file, that file counts, and safetensors before pickles, as for Hugging
            Face's loaders.
        kind: What is looked for.

    Returns:
        An index or a whole file; None if a folder has neither, or several. Raises nothing but OSError.
    """
    if not location.is_folder:
        index = location.beside(location.path.name + INDEX)
        return index if not location.is_file and index.is_file else location
    names = location.names()
    if any(_is_model(_whole(name), kind.yields_to) for name in names):
        return None
    indexes = [name for name in names if _INDEX_NAME.fullmatch(name) and is_index(location.beside(name), kind)]
    if len(indexes) == 1:
        return location.beside(_whole(indexes[0]) if _whole(indexes[0]) in names else indexes[0])
    files = [name for name in names if name.lower().endswith(kind.extensions)]
    if len(files) > 1:
        files = [name for name in files if _is_model(name, kind.extensions)]
    return location.beside(files[0]) if len(files) == 1 and not indexes else None


def _is_model(name: str, extensions: tuple[str, ...]) -> bool:
    found = _WHOLE_NAME.fullmatch(name)
    return found is not None and found["extension"] in extensions


def find_index(location: Location, kind: ShardKind, *, limits: Limits = DEFAULT) -> ShardIndex | None:
    """The index that a file is, or that lists it among its shards.

    Args:
        location: A file, from `main_file`.
        kind: What its shards are.
        limits: Caps on its size.

    Returns:
        None if the file is no part of a sharded model.

    Raises:
        CorruptError: The index is damaged.
    """
    if is_index(location, kind):
        return read_index(location, limits=limits)
    for name in location.names():
        if not _INDEX_NAME.fullmatch(name) or not is_index(beside := location.beside(name), kind):
            continue
        if _mentions(
            beside.open(), location.path.name, limits
        ):  # else the damage of another model's index is no matter
            index = read_index(beside, limits=limits)
            if location.path.name in index.shards:
                return index
    return None


def lone_shard(location: Location) -> list[Notice]:
    """What is to be said of a file that no index lists, and that is called like one of several."""
    match = _SHARD_NAME.fullmatch(location.path.name)
    if match is None or int(match["all"]) < 2:
        return []
    named = f"by its name it is one of {int(match['all'])} files"
    return [TensorsIncomplete(f"{named}, and no index beside it lists them: the others are not read")]


def _mentions(source: FileSource, name: str, limits: Limits) -> bool:
    if source.size > limits.header_bytes:
        return False
    text = source.read(0, source.size)
    spelled = (json.dumps(name, ensure_ascii=escaped).encode("utf-8", "surrogatepass") for escaped in (True, False))
    return any(name in text for name in spelled)


def read_index(location: Location, *, limits: Limits = DEFAULT) -> ShardIndex:
    """Read an index.

    Raises:
        CorruptError: It is no JSON of this form, or names a tensor twice.
        LimitError: It is larger, or lists more than `limits` allow.
        UnsafeError: A shard's name is more than the name of a file beside it.
    """
    source, where = location.open(), str(location)
    if source.size > limits.header_bytes:
        raise LimitError(f"an index of {source.size} bytes exceeds {limits.header_bytes}", where=where)
    fields = strict_json.parse(source.read(0, source.size), where, "the index", limits=limits)
    metadata, weight_map = fields.get("metadata", {}), fields.get("weight_map")
    if not isinstance(weight_map, dict) or not isinstance(metadata, dict):
        raise CorruptError("an index must have weight_map and metadata, both objects", where=where)
    if len(weight_map) > limits.tensors:
        raise LimitError(f"{len(weight_map)} tensors exceed {limits.tensors}", where=where)
    shards: dict[str, list[str]] = {}
    for tensor, file in weight_map.items():
        if not isinstance(file, str) or not file:
            raise CorruptError(f"tensor {tensor[:200]!r} is in no file by the index", where=where)
        shards.setdefault(file, []).append(tensor)
    if len(shards) > limits.shards:
        raise LimitError(f"{len(shards)} shards exceed {limits.shards}", where=where)
    for file in shards:
        if PurePosixPath(file).name != file or "\\" in file or "\0" in file or file in (".", ".."):
            message = f"the index names the shard {file[:200]!r}, which is not the name of a file beside it"
            raise UnsafeError(message, where=where)
    return ShardIndex(location, metadata, {file: tuple(shards[file]) for file in sorted(shards)})


# Writing


def index_names(target: str) -> tuple[str, ...]:
    """What `Format.shards` is for such formats: the one file that is sure, `model.safetensors.index.json`."""
    return (target.removesuffix(INDEX) + INDEX,)


def plan_shards(
    tensors: Mapping[str, Tensor],
    shard_size: int,
    *,
    ties_share: bool = True,
    stored: Callable[[Tensor], int] = lambda tensor: tensor.nbytes,
) -> list[dict[str, Tensor]]:
    """Distribute tensors over files, in their order.

    A tensor that is larger than a file has one for itself. All names of one tensor come into one file.

    Args:
        tensors: Every tensor.
        shard_size: Bytes of tensors that one file may have.
        ties_share: The format stores a tensor of several names once.
        stored: Bytes that a tensor takes in a file.

    Returns:
        The tensors of each file; one empty file if there is no tensor.
    """
    names_of: dict[int, list[str]] = {}
    for name, tensor in tensors.items():
        names_of.setdefault(id(tensor), []).append(name)
    shards: list[dict[str, Tensor]] = [{}]
    used = 0
    for names in names_of.values():
        tensor = tensors[names[0]]
        nbytes = stored(tensor) * (1 if ties_share else len(names))
        if shards[-1] and used + nbytes > shard_size:
            shards.append({})
            used = 0
        shards[-1].update(dict.fromkeys(names, tensor))
        used += nbytes
    return shards


def write_shards(
    tensors: Mapping[str, Tensor],
    sink: Sink,
    save: Callable[[Mapping[str, Tensor], StagedFile], None],
    *,
    ties_share: bool = True,
    metadata: Mapping[str, object] | None = None,
) -> None:
    """Write shards of at most `sink.shard_size` bytes, and their index, which is the main file.

    The number of shards is not known when the names that are sure must be, so there is an index even for one shard. An
    older set of the same name, whole or in any number of shards, is replaced with this one: its files would be taken
    for parts of the new model.

    Args:
        tensors: Every tensor; what the format cannot hold has been refused already.
        sink: Made by `Format.sink` of a format whose `shards` is `index_names`.
        save: Writes one whole file.
        ties_share: The format stores a tensor of several names once.
        metadata: What the index is to say beside the total size.

    Raises:
        OutputExistsError: A file of an older set is there, and the sink is not to replace it.
        UnsupportedError: A name that an index, which is text, cannot have; nothing is written.
    """
    assert sink.shard_size is not None
    _require_text(tensors, str(sink.target))
    whole = PurePath(sink.target.name.removesuffix(INDEX))
    shards = plan_shards(tensors, sink.shard_size, ties_share=ties_share)
    names = [f"{whole.stem}-{number + 1:05}-of-{len(shards):05}{whole.suffix}" for number in range(len(shards))]
    older = re.compile(rf"{re.escape(whole.stem)}-\d{{5}}-of-\d{{5}}{re.escape(whole.suffix)}|{re.escape(whole.name)}")
    sink.supersede(older)
    weight_map: dict[str, str] = {}
    total = 0
    for file, content in zip(names, shards, strict=True):
        save(content, sink.open(file))
        weight_map |= dict.fromkeys(content, file)
        stored = {id(tensor): tensor for tensor in content.values()}.values() if ties_share else content.values()
        total += sum(tensor.nbytes for tensor in stored)
    index = {"metadata": {**(metadata or {}), "total_size": total}, "weight_map": weight_map}
    sink.open().write(json.dumps(index, indent=2, ensure_ascii=False).encode() + b"\n")


def _require_text(names: Iterable[str], where: str) -> None:
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            message = f"tensor name {name[:200]!r} is no Unicode text, which an index is"
            raise UnsupportedError(message, where=where) from None
