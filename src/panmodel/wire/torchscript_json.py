"""TorchScript archives of torch 1.0 to 1.3: modules and tensors are described in JSON.

    <root>/model.json       a ModelDef: the tree of modules, a table of tensors
    <root>/tensors/<n>      the bytes of a storage
    <root>/attributes.pkl   the values of attributes that are no parameters (since 1.2)
    <root>/code/<name>.py   the program; its constants CONSTANTS.c<n> are tensor <n> of the table

Source: caffe2/proto/torch.proto and torch/csrc/jit/import_legacy.cpp of torch 1.3; the JSON mapping of protobuf.
"""

from __future__ import annotations

from collections.abc import Mapping

from panmodel import dtypes
from panmodel.dtypes import DType
from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.limits import DEFAULT, Limits
from panmodel.wire import strict_json
from panmodel.wire.pickle import Global, Object, describe
from panmodel.wire.strict_json import Fields
from panmodel.wire.torch_rebuild import Rebuilding
from panmodel.wire.torch_records import StorageBytes, StorageRecord, TensorRecord
from panmodel.wire.torch_unpickling import Unpickling
from panmodel.wire.torch_zip import ZipStorages
from panmodel.wire.torchscript import CLASSES, Registered, Script, pickle_names, refuse_foreign
from panmodel.wire.zip import Archive

_TYPES = {
    "FLOAT": dtypes.FLOAT32,
    "DOUBLE": dtypes.FLOAT64,
    "FLOAT16": dtypes.FLOAT16,
    "INT8": dtypes.INT8,
    "INT16": dtypes.INT16,
    "INT32": dtypes.INT32,
    "INT64": dtypes.INT64,
    "UINT8": dtypes.UINT8,
    "BYTE": dtypes.UINT8,
    "BOOL": dtypes.BOOL,
}
_TENSOR, _INTEGERS = Global("__main__", "TensorID"), Global("__main__", "IntList")  # of torch 1.1
_NOT_STORED = (-1, "-1")  # number of a tensor or attribute for which the state of its module stands


def load_json(archive: Archive, root: str, *, limits: Limits = DEFAULT) -> Script:
    """Open an archive with a model.json. No storage is read.

    Args:
        archive: The archive.
        root: Its folder.
        limits: Caps on what it asks for.

    Raises:
        CorruptError: The description is broken, or does not fit the members.
        UnsafeError: The pickle of attributes names things that TorchScript does not.
        UnsupportedError: Tensors of a type that is not read.
    """
    where = f"{archive.source.name}, {root}/model.json"
    described = strict_json.parse(archive.read(f"{root}/model.json", limit=limits.text_bytes), where, "model.json")
    fields = Fields(where)
    table = _Table(_tensors(fields, described, archive, root, limits))
    attributes = _attributes(archive, root, table, limits)
    modules = _Modules(fields, table, attributes, limits)
    value = modules.module(fields.mapping(described.get("mainModule"), "mainModule"), ())
    constants = {index: tensor for index, tensor in enumerate(table.tensors) if index not in table.used}
    return Script(value, constants, archive, root, registered=modules.registered)


def _tensors(
    fields: Fields, described: Mapping[str, object], archive: Archive, root: str, limits: Limits
) -> list[TensorRecord]:
    """The table of tensors; those with one key are views of one storage."""
    rebuilding = Rebuilding(fields.where, 0, limits)
    contents: dict[str, StorageBytes] = {}
    made: list[TensorRecord] = []
    for index, item in enumerate(fields.listed(described.get("tensors"), "tensors")):
        what = f"tensor {index}"
        entry = fields.mapping(item, what)
        key = fields.text(fields.mapping(entry.get("data"), f"the data of {what}").get("key"), f"the key of {what}")
        member = f"{root}/{key}"
        if member not in archive.members:
            raise fields.corrupt(f"{what} lies in {key[:80]!r}, which is not in the archive")
        nbytes = archive.members[member].size
        content = contents.setdefault(key, StorageBytes(nbytes, archive.extent(member), False, archive, member))
        dtype, device = _type(fields, entry, what), entry.get("device")
        storage = StorageRecord(key, dtype, device if isinstance(device, str) else "cpu", nbytes, content)
        shape, strides = (
            tuple(fields.number(n, f"{name} of {what}") for n in fields.listed(entry.get(name), f"{name} of {what}"))
            for name in ("dims", "strides")
        )
        offset = fields.number(entry.get("offset", 0), f"the offset of {what}")
        view = rebuilding.view((storage, offset, shape, strides), None)
        view.requires_grad = entry.get("requiresGrad") is True
        made.append(view)
    return made


def _type(fields: Fields, entry: Mapping[str, object], what: str) -> DType:
    name = fields.text(entry.get("dataType"), f"the type of {what}")
    if name not in _TYPES:
        raise UnsupportedError(f"{what} has elements of type {name[:80]}, which is not read", where=fields.where)
    return _TYPES[name]


class _Table:
    """The table of tensors, and account of which are in use by modules; what is not, the program itself mentions."""

    def __init__(self, tensors: list[TensorRecord]) -> None:
        self.tensors, self.used = tensors, set[int]()

    def tensor(self, index: object, where: str) -> TensorRecord:
        """The tensor of a number."""
        if type(index) is not int or not 0 <= index < len(self.tensors):
            raise CorruptError(f"a tensor is number {describe(index)} of {len(self.tensors)}", where=where)
        self.used.add(index)
        return self.tensors[index]


def _attributes(archive: Archive, root: str, table: _Table, limits: Limits) -> list[object]:
    """The values of attributes, in which tensors are numbers of the table."""
    member = f"{root}/attributes.pkl"
    if member not in archive.members:
        return []
    where = f"{archive.source.name}, {member}"

    def by_number(args: tuple[object, ...]) -> object:
        """build_tensor_from_id(number)."""
        return table.tensor(args[0] if len(args) == 1 else None, where)

    known = {**pickle_names(where), Global("torch.jit._pickle", "build_tensor_from_id"): by_number}
    known |= dict.fromkeys((_TENSOR, _INTEGERS))
    unpickling = Unpickling(archive.source, known, limits)
    storages = ZipStorages(archive, f"{root}/attributes", where, False)
    value = unpickling.run_whole(archive.read(member, limit=limits.pickle_bytes), where, storages.storage)
    refuse_foreign(unpickling)
    if not isinstance(value, (list, tuple)):
        raise CorruptError(f"the attributes are {describe(value)}, not a list", where=where)
    return [_filled(item, table, where) for item in value]


def _filled(value: object, table: _Table, where: str) -> object:
    """What torch 1.1 wrote as an object with a state: a tensor of the table, a list of integers."""
    if not isinstance(value, Object) or value.cls not in (_TENSOR, _INTEGERS):
        return value
    state = value.states[0] if value.states else None
    return table.tensor(state, where) if value.cls == _TENSOR else state


class _Modules:
    """Makes inert objects of the modules, such as pickles of later archives have."""

    def __init__(self, fields: Fields, table: _Table, attributes: list[object], limits: Limits) -> None:
        self._fields, self._table, self._attributes, self._limits = fields, table, attributes, limits
        self.registered: dict[Global, Registered] = {}

    def module(self, entry: Mapping[str, object], path: tuple[str, ...]) -> Object:
        """The object of a module and of those below it."""
        fields = self._fields
        if len(path) > self._limits.nesting:
            raise LimitError(f"modules are nested more than {self._limits.nesting} deep", where=fields.where)
        what = f"module {'.'.join(path)[:200]!r}"
        held: dict[object, object] = {}
        parameters: dict[bool, list[str]] = {False: [], True: []}
        for parameter in self._entries(entry, "parameters", what):
            number = parameter.get("tensorId", 0)
            if number not in _NOT_STORED:
                tensor = self._table.tensor(fields.number(number, f"a tensor of {what}"), fields.where)
                parameters[parameter.get("isBuffer") is True].append(self._put(held, parameter, tensor, what))
        for attribute in self._entries(entry, "attributes", what):
            if attribute.get("id") not in _NOT_STORED:
                self._put(held, attribute, self._attribute(attribute.get("id"), what), what)
        for child in self._entries(entry, "submodules", what):
            below = (*path, fields.text(child.get("name"), f"the name of a submodule of {what}"))
            self._put(held, child, self.module(child, below), what)
        states: list[object] = [held]
        if "getStateAttributeId" in entry:  # the module made a value of itself, which stands for what it holds
            states.append(self._attribute(entry["getStateAttributeId"], what))
        cls = Global(".".join((CLASSES, *path)), "")  # its own name is in the program alone
        self.registered[cls] = Registered(tuple(parameters[False]), tuple(parameters[True]))
        return Object(cls, called=False, states=states)

    def _entries(self, entry: Mapping[str, object], key: str, what: str) -> list[Mapping[str, object]]:
        items = self._fields.listed(entry.get(key), f"the {key} of {what}")
        return [self._fields.mapping(item, f"one of the {key} of {what}") for item in items]

    def _put(self, held: dict[object, object], entry: Mapping[str, object], value: object, what: str) -> str:
        name = self._fields.text(entry.get("name"), f"a name in {what}")
        if name in held:
            raise self._fields.corrupt(f"{what} has two things named {name[:200]!r}")
        held[name] = value
        return name

    def _attribute(self, number: object, what: str) -> object:
        index = self._fields.number(number, f"the number of an attribute of {what}")
        if index >= len(self._attributes):
            raise self._fields.corrupt(f"an attribute of {what} is number {index} of {len(self._attributes)}")
        return self._attributes[index]
