"""The archives of torch.export (.pt2): what they list of weights and constants.

Since torch 2.8, a zip archive with one folder `<root>`:

    archive_format, archive_version       "pt2", "0"
    models/<name>.json                    the graph
    data/weights/<name>_weights_config.json    name → member and view, of parameters and buffers
    data/weights/weight_<n>               the bytes of a storage, or a tensor by torch.save
    data/constants/…                      likewise: tensor_<n>, and objects, which are never opened
    data/aotinductor/…                    native code
    data/sample_inputs/<name>.pt          a pickle, which is never opened

Some versions have all weights of a model in `data/weights/<name>.pt`, by torch.save. Until 2.7 there are no folders:
`serialized_exported_program.json`, `serialized_state_dict.pt`, `serialized_constants.pt` (first called .json too).

Source: torch/export/pt2_archive/_package.py, torch/csrc/export/pt2_archive_constants.h, torch/_export/serde/schema.py
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from panmodel import dtypes
from panmodel.dtypes import DType
from panmodel.errors import UnsupportedError
from panmodel.limits import DEFAULT, Limits
from panmodel.wire import strict_json
from panmodel.wire.strict_json import Fields
from panmodel.wire.zip import Archive

PROGRAM = "serialized_exported_program.json"
_FORMAT, _SMALL = b"pt2", 64
#: Kind of payload → its folder, and the end of the name of its list.
FOLDERS = {"weights": "data/weights", "constants": "data/constants"}
#: torch's ScalarType as the schema numbers it, which is not as C++ does.
_TYPES: Mapping[int, str] = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    9: "complex32",
    10: "complex64",
    11: "complex128",
    12: "bool",
    13: "bfloat16",
    28: "uint16",
    29: "float8_e4m3fn",
    30: "float8_e5m2",
    31: "float8_e4m3fnuz",
    32: "float8_e5m2fnuz",
    33: "float8_e8m0fnu",
    34: "uint32",
    35: "uint64",
}
_STRIDED = 7


@dataclass(frozen=True, slots=True)
class View:
    """What a tensor is of the bytes of its member.

    Attributes:
        dtype: Element type.
        shape: Its dimensions.
        strides: Elements from one index to the next, per dimension.
        offset: Its first element.
        device: Where it was ("cpu", "cuda:0").
        requires_grad: It takes gradients.
    """

    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    device: str
    requires_grad: bool


@dataclass(frozen=True, slots=True)
class Payload:
    """One entry of a list of weights or constants.

    Attributes:
        name: The attribute that it is, as in a state dict.
        member: The member of the archive that holds it.
        is_parameter: It is an nn.Parameter.
        pickled: The member is a file of torch.save.
        view: What it is of the bytes; None of a pickled one, or of what is no tensor.
        is_tensor: It is a tensor.
    """

    name: str
    member: str
    is_parameter: bool
    pickled: bool
    view: View | None
    is_tensor: bool


def export_root(names: Collection[str]) -> str | None:
    """The folder of an archive of torch.export with members of these names ("" until 2.7); None if it is none."""
    if PROGRAM in names:
        return ""
    roots = [name.removesuffix("/archive_format") for name in names if name.endswith("/archive_format")]
    return next((root for root in roots if "/" not in root), None)


def check_format(archive: Archive, root: str) -> None:
    """See that an archive says it is of this format.

    Raises:
        UnsupportedError: It says something else.
    """
    found = archive.read(f"{root}/archive_format", limit=_SMALL)
    if found != _FORMAT:
        raise UnsupportedError(f"archive_format is {found!r}, not {_FORMAT!r}", where=archive.source.name)


def model_names(archive: Archive, root: str) -> list[str]:
    """Names of the models in an archive, in the order of the file."""
    ends = {f"{root}/models/": ".json"}
    for kind, folder in FOLDERS.items():
        ends[f"{root}/{folder}/"] = f"_{kind}_config.json"
    found: dict[str, None] = {}
    for name in archive.members:
        for prefix, suffix in ends.items():
            middle = name.removeprefix(prefix).removesuffix(suffix)
            if name == f"{prefix}{middle}{suffix}" and middle:
                found[middle] = None
    return list(found)


def payloads(archive: Archive, root: str, kind: str, model: str, *, limits: Limits = DEFAULT) -> list[Payload]:
    """The weights or constants of a model, as its list has them; none if there is no list.

    Args:
        archive: The archive.
        root: Its folder.
        kind: "weights" or "constants".
        model: Name of the model.
        limits: Caps on the size of the list.

    Raises:
        CorruptError: The list is broken, or names a member that is not there.
        UnsupportedError: A tensor is of a type or layout that is not read.
    """
    folder = f"{root}/{FOLDERS[kind]}"
    name = f"{folder}/{model}_{kind}_config.json"
    if name not in archive.members:
        return []
    where = f"{archive.source.name}, {name}"
    listed = strict_json.parse(archive.read(name, limit=limits.text_bytes), where, f"the list of {kind}")
    reading = _Listed(where, archive, folder)
    entries = reading.mapping(listed.get("config"), f"the list of {kind}")
    return [reading.payload(name, reading.mapping(entry, f"{name[:200]!r}")) for name, entry in entries.items()]


@dataclass(frozen=True, slots=True)
class _Listed(Fields):
    """One list of an archive, and the folder of what it lists."""

    archive: Archive
    folder: str

    def payload(self, name: str, entry: Mapping[str, object]) -> Payload:
        from panmodel.wire.pickle import describe

        path = entry.get("path_name")
        member = f"{self.folder}/{path}"
        if not isinstance(path, str) or member not in self.archive.members:
            raise self.corrupt(f"{name[:200]!r} lies in {describe(path)}, which is not in the archive")
        pickled, meta = entry.get("use_pickle") is True, entry.get("tensor_meta")
        view = None if pickled or meta is None else self._view(name, self.mapping(meta, f"the view of {name[:200]!r}"))
        if not pickled and view is None:
            raise self.corrupt(f"{name[:200]!r} has neither a type nor a shape")
        return Payload(name, member, entry.get("is_param") is True, pickled, view, meta is not None)

    def _view(self, name: str, meta: Mapping[str, object]) -> View:
        from panmodel.wire.pickle import describe

        number, layout = meta.get("dtype"), meta.get("layout", _STRIDED)
        dtype = dtypes.BY_TORCH.get(_TYPES.get(number, "")) if type(number) is int else None
        if dtype is None or layout != _STRIDED:
            what = f"tensor {name[:200]!r} is of type {describe(number)} and layout {describe(layout)}"
            raise UnsupportedError(f"{what}, which is not read", where=self.where)
        shape, strides = self._sizes(name, meta.get("sizes")), self._sizes(name, meta.get("strides"))
        offset = self._size(name, meta.get("storage_offset", {"as_int": 0}))
        device = meta.get("device")
        kind, index = (device.get("type"), device.get("index")) if isinstance(device, dict) else (None, None)
        place = f"{kind}:{index}" if type(index) is int else str(kind or "cpu")
        return View(dtype, shape, strides, offset, place[:80], meta.get("requires_grad") is True)

    def _sizes(self, name: str, value: object) -> tuple[int, ...]:
        from panmodel.wire.pickle import describe

        if not isinstance(value, list):
            raise self.corrupt(f"the shape or strides of {name[:200]!r} are {describe(value)}")
        return tuple(self._size(name, item) for item in value)

    def _size(self, name: str, value: object) -> int:
        """A size is {"as_int": 3}; one that is an expression is none of a tensor with elements."""
        from panmodel.wire.pickle import describe

        number = value.get("as_int") if isinstance(value, dict) else value
        if type(number) is not int or number < 0:
            raise self.corrupt(f"a size of {name[:200]!r} is {describe(number)}, not a number")
        return number
