"""torch.export's .pt2: the weights and constants of exported programs. Native code and pickled objects stay closed.

Source: torch/export/pt2_archive/_package.py (torch 2.8 to 2.13), torch/export/__init__.py (until 2.7)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from panmodel.errors import CorruptError, PanmodelError, UnsafeError, UnsupportedError
from panmodel.io.source import Location, MemorySource, PartSource, Source
from panmodel.limits import DEFAULT
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.model.notice import Assumed, MetadataLost, Notice, TensorsIncomplete
from panmodel.wire import torch_export
from panmodel.wire.torch_export import FOLDERS, Payload, View
from panmodel.wire.zip import Archive, first_name, is_zip

if TYPE_CHECKING:
    from panmodel.wire.torch_records import ArrayRecord, StorageBytes, TensorRecord


#: The first member of an archive of which more cannot be read.
_FIRST = re.compile(r"[^/]+/(data/(weights|constants|aotinductor)/.+|archive_format|models/.+)|serialized_\w+\.\w+")
_NATIVE = re.compile(r"\.(so|dll|dylib|pyd|o|cubin|fatbin|hsaco|spv)$|/data/aotinductor/")
#: A nested file that is deflated, which torch does not do, is held in memory.
_MOST_INFLATED = 1 << 30
#: Until 2.7: kind of tensors → the names that the file with them had.
_OLD = {
    "weights": ("serialized_state_dict.pt", "serialized_state_dict.json"),
    "constants": ("serialized_constants.pt", "serialized_constants.json"),
}


def sniff(location: Location) -> bool:
    """Whether it is an archive of torch.export. Of a damaged one the first member tells."""
    if not is_zip(location.head(4)):
        return False
    source = location.open()
    try:
        return torch_export.export_root(location.once(Archive).members) is not None
    except PanmodelError:
        return _FIRST.fullmatch(first_name(source)) is not None


@dataclass
class _Found:
    """What was found in an archive.

    Attributes:
        tensors: Name → tensor, in the order of the file.
        parameters: Names of those that are parameters.
        constants: Names of those that are no part of the state dict.
        objects: Names of constants that are no tensors.
        empty: Names of tensors of which type and shape alone were saved.
        changed: Names of what is taken for something simpler, with what it was.
    """

    tensors: dict[str, TensorRecord | ArrayRecord] = field(default_factory=dict)
    parameters: list[str] = field(default_factory=list)
    constants: list[str] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    changed: dict[str, list[str]] = field(default_factory=dict)


def read(location: Location) -> Model:
    """Open an archive: its lists of weights and constants. No storage is read, and of the graph nothing.

    Names are those of the state dict; with several models in one archive, each begins with that of its model.

    Raises:
        CorruptError: The archive or a list is broken, or a tensor lies outside its member.
        UnsafeError: A file of torch.save in it names things that are no part of tensors.
        UnsupportedError: Tensors of a kind that is not read.
    """
    from panmodel.model.torch.storage import tied_tensors
    from panmodel.wire.torch_zip import is_big_endian

    archive = Archive(location.open(), zero_crc_is_absent=True)
    root = torch_export.export_root(archive.members)
    if root is None:
        raise CorruptError("the archive has no exported program", where=str(location))
    found = _Found()
    models = []
    if root:
        torch_export.check_format(archive, root)
        models = torch_export.model_names(archive, root)
        reading = _Reading(archive, found, is_big_endian(archive, root))
        for name in models:
            for kind in FOLDERS:
                reading.model(root, kind, name, f"{name}." if len(models) > 1 else "")
    else:
        _Reading(archive, found).old()
    metadata = _described(archive, root, models, found)
    model = Model(FORMAT.name, tensors=tied_tensors(found.tensors), metadata=metadata, source=str(location))
    model.notices = list(_losses(found))
    return model


class _Reading:
    """Collects what the lists of an archive have."""

    def __init__(self, archive: Archive, found: _Found, big_endian: bool = False) -> None:
        from panmodel.wire.torch_rebuild import Rebuilding

        self._archive, self._found, self._big_endian = archive, found, big_endian
        self._contents: dict[str, StorageBytes] = {}
        self._rebuilding = Rebuilding(archive.source.name, 0, DEFAULT)

    def model(self, root: str, kind: str, model: str, prefix: str) -> None:
        """The weights or constants of a model."""
        whole = f"{root}/{FOLDERS[kind]}/{model}.pt"
        if whole in self._archive.members:
            self._put_all(kind, prefix, self._saved(whole, None))
        for payload in torch_export.payloads(self._archive, root, kind, model):
            name = prefix + payload.name
            if not payload.is_tensor:
                self._found.objects.append(name)
            elif payload.pickled:
                self._put_all(kind, prefix, self._saved(payload.member, payload.name), payload)
            elif payload.view is not None:
                self._put_view(kind, name, payload, payload.view)

    def old(self) -> None:
        """The files of torch.save until 2.7."""
        for kind, names in _OLD.items():
            member = next((name for name in names if name in self._archive.members), None)
            if member is not None and self._archive.members[member].size:
                self._put_all(kind, "", self._saved(member, None))

    def _put_view(self, kind: str, name: str, payload: Payload, view: View) -> None:
        from panmodel.wire.torch_records import StorageBytes, StorageRecord

        nbytes = self._archive.members[payload.member].size
        if not nbytes and 0 not in view.shape:  # exported from tensors without elements
            self._found.empty.append(name)
            return
        content = self._contents.get(payload.member)
        if content is None:
            extent = self._archive.extent(payload.member)
            content = StorageBytes(nbytes, extent, self._big_endian, self._archive, payload.member)
            self._contents[payload.member] = content
        storage = StorageRecord(payload.member, None, view.device, nbytes, content)
        record = self._rebuilding.view((storage, view.offset, view.shape, view.strides), view.dtype)
        record.parameter, record.requires_grad = payload.is_parameter, view.requires_grad
        self._put(kind, name, record, is_parameter=payload.is_parameter)

    def _put_all(
        self, kind: str, prefix: str, records: Mapping[str, TensorRecord | ArrayRecord], payload: Payload | None = None
    ) -> None:
        from panmodel.wire.torch_records import TensorRecord

        for name, record in records.items():
            of_type = isinstance(record, TensorRecord) and record.parameter
            self._put(kind, prefix + name, record, is_parameter=payload.is_parameter if payload else of_type)

    def _put(self, kind: str, name: str, record: TensorRecord | ArrayRecord, *, is_parameter: bool) -> None:
        if name in self._found.tensors:
            raise UnsupportedError(f"two tensors are named {name[:200]!r}", where=self._archive.source.name)
        self._found.tensors[name] = record
        if kind == "constants":
            self._found.constants.append(name)
        elif is_parameter:
            self._found.parameters.append(name)

    def _saved(self, member: str, name: str | None) -> dict[str, TensorRecord | ArrayRecord]:
        """The tensors in a member that is a file of torch.save: a state dict, or the one tensor of that name."""
        from panmodel.model.torch.checkpoint import contents
        from panmodel.model.torch.classes import refused
        from panmodel.wire.pickle import describe
        from panmodel.wire.torch_container import load

        source = self._source(member)
        loaded = load(source)
        if foreign := refused(loaded):
            names = ", ".join(map(describe, foreign))
            message = f"the pickle names {len(foreign)} thing(s) that are no part of tensors: {names}"
            hint = "unpickling it would execute them; ask its author for a file without them"
            raise UnsafeError(message, where=source.name, hint=hint)
        if name is None and not isinstance(loaded.value, dict):
            raise CorruptError(f"holds {describe(loaded.value)}, which is no state dict", where=source.name)
        parts = contents(loaded.value if name is None else {name: loaded.value}, source.name)
        self._found.objects += parts.opaque
        for what, changed in parts.changed.items():
            self._found.changed.setdefault(what, []).extend(changed)
        return parts.tensors

    def _source(self, member: str) -> Source:
        label = f"{self._archive.source.name}, {member}"
        extent = self._archive.extent(member)
        if extent is not None:
            return PartSource(extent, label)
        return MemorySource(self._archive.read(member, limit=_MOST_INFLATED), label)


def _described(archive: Archive, root: str, models: list[str], found: _Found) -> dict[str, object]:
    """What the file says about itself; each only where it says something."""
    from panmodel.wire.torch_records import TensorRecord
    from panmodel.wire.torch_zip import member_text

    prefix = f"{root}/" if root else ""
    views = [record for record in found.tensors.values() if isinstance(record, TensorRecord)]
    told: dict[str, object] = {"framework": "pytorch"}
    told["archive_version"] = member_text(archive, f"{prefix}archive_version" if root else "version")
    told["models"] = models
    told["parameters"] = len(found.parameters)
    told["constants"] = found.constants
    told["objects"] = found.objects
    told["devices"] = sorted({record.storage.location for record in views} - {"cpu"})
    told["native_code"] = [name.removeprefix(prefix) for name in archive.members if _NATIVE.search(f"/{name}")]
    extra = (f"{prefix}extra/", "extra_files/")
    told["extra_files"] = [name.removeprefix(prefix) for name in archive.members if name.startswith(extra)]
    return {key: value for key, value in told.items() if value}


def _losses(found: _Found) -> Iterator[Notice]:
    if found.objects:
        yield MetadataLost("constants that are no tensors", tuple(found.objects))
    if found.empty:
        yield TensorsIncomplete("tensors of which type and shape alone were exported", tuple(found.empty))
    for what, names in found.changed.items():
        yield Assumed(f"takes {what}", tuple(names))


FORMAT = Format(
    name="torch_export",
    summary="PyTorch exported programs (.pt2, torch.export), of which the weights are read",
    extensions=(".pt2",),
    spec="https://docs.pytorch.org/docs/stable/export/pt2_archive.html",
    holds=Holds.WEIGHTS | Holds.METADATA,
    sniff=sniff,
    read=read,
    unread="the program",
)
