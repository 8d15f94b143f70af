"""Writes what torch.save writes since 1.6: a zip file with a pickle, and one member for each storage.

    <root>/data.pkl            the pickled value
    <root>/.format_version     1
    <root>/.storage_alignment  64: where the content of each member begins, in the file
    <root>/byteorder           little
    <root>/data/<key>          a storage
    <root>/version             3

Source: torch/serialization.py (`_save`), torch/_utils.py (the rebuild functions),
torch/_weights_only_unpickler.py (what is read without trust).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from panmodel import dtypes
from panmodel.dtypes import DType
from panmodel.errors import UnsupportedError, listed
from panmodel.io.sink import StagedFile
from panmodel.wire.pickle import Dictionary, Global, Object, PersistentId, dump
from panmodel.wire.torch_records import Sizes, TorchValue
from panmodel.wire.writable import Writable
from panmodel.wire.zip_writer import ArchiveWriter

VERSION = 3
ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class PlainTensor:
    """A tensor to be written, contiguous in a storage of its own.

    Attributes:
        name: What to call it in messages.
        content: The elements; tensors of the same content share a storage.
        parameter: It is an nn.Parameter.
        requires_grad: It takes gradients.
    """

    name: str
    content: Writable
    parameter: bool = False
    requires_grad: bool = False


@dataclass(frozen=True, slots=True)
class QuantizedTensor:
    """A tensor of integers that stand for (integer - zero_point) * scale.

    Attributes:
        data: The integers.
        dtype: torch's name of the type, "qint8".
        scheme: torch's name, "per_tensor_affine".
        parameters: Scale and zero point; with an axis as the third, one of each per index along it.
    """

    data: PlainTensor
    dtype: str
    scheme: str
    parameters: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class SparseTensor:
    """A sparse tensor.

    Attributes:
        layout: torch's name, "sparse_coo".
        parts: Indices and values, in the order of torch's constructor.
        size: Its dimensions.
        coalesced: Of sparse_coo, whether the indices are sorted and occur once; None if unsaid.
    """

    layout: str
    parts: tuple[PlainTensor, ...]
    size: tuple[int, ...]
    coalesced: bool | None = None


@dataclass(frozen=True, slots=True)
class NestedTensor:
    """Tensors of different shapes in one buffer: buffer, sizes, strides, offsets."""

    parts: tuple[PlainTensor, ...]


@dataclass(frozen=True, slots=True)
class MetaTensor:
    """A tensor without elements: torch's name of the type, dimensions and strides."""

    dtype: str
    size: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SetOf:
    """A set, with an order."""

    items: tuple[object, ...]


#: What stands for a tensor in a value to be written.
AnyTensor: TypeAlias = PlainTensor | QuantizedTensor | SparseTensor | NestedTensor | MetaTensor


def state_dict(
    tensors: Mapping[str, Writable], modules: Mapping[str, Mapping[str, object]] = MappingProxyType({})
) -> Dictionary:
    """A state dict to be written.

    Args:
        tensors: Name → tensor. One that appears under two names gets one storage.
        modules: Module name → its version, which `load_state_dict` looks for in `_metadata`.
    """
    made = Dictionary({name: PlainTensor(name, tensor) for name, tensor in tensors.items()})
    if modules:
        made.attributes["_metadata"] = Dictionary({name: dict(told) for name, told in modules.items()})
    return made


def check(tensors: Mapping[str, Writable], where: str) -> None:
    """Refuse tensors that torch has no plain type for.

    Raises:
        UnsupportedError: There are some; all are named.
    """
    foreign = {name: tensor for name, tensor in tensors.items() if not _is_plain(tensor)}
    typeless = [f"{name} ({tensor.dtype})" for name, tensor in foreign.items() if tensor.dtype not in _PACKED]
    if typeless:
        raise UnsupportedError(f"torch has no type for {listed(typeless, 10)}", where=where)
    if foreign:
        shown = listed([f"{name} ({tensor.dtype}{list(tensor.shape)})" for name, tensor in foreign.items()], 10)
        message = f"torch has such elements in whole bytes of the last dimension alone, which are not filled: {shown}"
        raise UnsupportedError(message, where=where, hint="convert them with --dtype")


def save(value: object, staged: StagedFile, *, root: str = "archive") -> None:
    """Write a value as torch.save does. Bytes of tensors pass through in pieces.

    Args:
        value: dict, `Dictionary` (an OrderedDict with its attributes, or a Counter), list, tuple, `Sizes`, `SetOf`
            within each other; tensors as one of `AnyTensor`; None, bool, int, float, complex, str, bytes, bytearray and
            `TorchValue`.
        staged: The file to write.
        root: The folder in the archive.

    Raises:
        UnsupportedError: Tensors that torch has no type for; nothing is written.
    """
    pickling = _Pickling()
    pickled = pickling.value(value)
    check({tensor.name: tensor.content for tensor in pickling.plain}, str(staged.final))
    archive = ArchiveWriter(staged, alignment=ALIGNMENT)
    records = (("data.pkl", dump(pickled)), (".format_version", b"1"), (".storage_alignment", b"%d" % ALIGNMENT))
    for name, content in (*records, ("byteorder", b"little")):
        archive.add(f"{root}/{name}", [content], len(content))
    for key, tensor in pickling.storages.values():
        archive.add(f"{root}/data/{key}", tensor.chunks(), tensor.nbytes)
    archive.add(f"{root}/version", [b"%d\n" % VERSION], 2)
    archive.close()


def _is_plain(tensor: Writable) -> bool:
    """Whether torch has plain tensors of such a type; those of quantized types have a scale besides."""
    if tensor.dtype in _PACKED:
        return bool(tensor.shape) and tensor.shape[-1] * tensor.dtype.bits % 8 == 0
    return tensor.dtype.torch is not None and not tensor.dtype.torch.startswith("q")


#: Types whose elements torch has only several to a byte, and its name for such bytes.
_PACKED: Mapping[DType, str] = {dtype: name for name, dtype in dtypes.TORCH_PACKED.items()}


def _rebuild(name: str) -> Global:
    return Global("torch._utils", f"_rebuild_{name}")


_ORDERED_DICT = Global("collections", "OrderedDict")
_COUNTER = Global("collections", "Counter")
_SIZE = Global("torch", "Size")
_UNTYPED = Global("torch.storage", "UntypedStorage")
_LAYOUT = Global("torch.serialization", "_get_layout")


@dataclass(slots=True)
class _Pickling:
    """Turns a value into calls of the rebuild functions, and numbers the storages.

    Attributes:
        storages: Identity of a tensor → the key of its storage, and the tensor.
        plain: Tensors that have to be of a type of torch.
    """

    storages: dict[int, tuple[str, Writable]] = field(default_factory=dict)
    plain: list[PlainTensor] = field(default_factory=list)

    def value(self, value: object) -> object:
        if isinstance(value, Dictionary) and value.kind != "Counter":
            return self._ordered(value)
        if isinstance(value, dict):
            items = {self.value(key): self.value(item) for key, item in value.items()}
            return Object(_COUNTER, (items,)) if isinstance(value, Dictionary) else items
        if isinstance(value, Sizes):
            return Object(_SIZE, (tuple(value),))
        if isinstance(value, (list, tuple)):
            return type(value)(self.value(item) for item in value)
        if isinstance(value, SetOf):
            return Object(Global("builtins", "set"), ([self.value(item) for item in value.items],))
        return self._tensor(value) if isinstance(value, AnyTensor) else _plain_value(value)

    def _ordered(self, value: Dictionary) -> Object:
        made = Object(_ORDERED_DICT, items=[(self.value(key), self.value(item)) for key, item in value.items()])
        if value.attributes:
            made.states.append({key: self.value(item) for key, item in value.attributes.items()})
        return made

    def _tensor(self, value: AnyTensor) -> Object:
        match value:
            case PlainTensor():
                return self._plain(value)
            case QuantizedTensor(data, dtype, scheme, parameters):
                quantizer = (Global("torch", scheme), *map(self.value, parameters))
                view = self._view(data.content, Global("torch", dtypes.ALL[dtype].torch_storage or ""))
                return Object(_rebuild("qtensor"), (*view, quantizer, data.requires_grad, Object(_ORDERED_DICT)))
            case SparseTensor(layout, parts, size, coalesced):
                told = (coalesced,) if layout == "sparse_coo" and coalesced is not None else ()
                made = (*map(self._plain, parts), Object(_SIZE, (size,)), *told)
                return Object(_rebuild("sparse_tensor"), (Object(_LAYOUT, (f"torch.{layout}",)), made))
            case NestedTensor(parts):
                return Object(_rebuild("nested_tensor"), tuple(self._plain(part) for part in parts))
        assert isinstance(value, MetaTensor)
        kind = Global("torch", value.dtype)
        return Object(_rebuild("meta_tensor_no_storage"), (kind, value.size, value.strides, False))

    def _plain(self, tensor: PlainTensor) -> Object:
        """The call that rebuilds a tensor."""
        self.plain.append(tensor)
        if not _is_plain(tensor.content):
            return Object(_ORDERED_DICT)  # `save` refuses it, with all others of its kind
        dtype, hooks = tensor.content.dtype, Object(_ORDERED_DICT)
        view = self._view(tensor.content, Global("torch", dtype.torch_storage) if dtype.torch_storage else None)
        grad = tensor.requires_grad and not tensor.parameter
        made = Object(_rebuild("tensor_v2"), (*view, grad, hooks))
        if dtype.torch_storage is None:
            kind = Global("torch", _PACKED.get(dtype, str(dtype.torch)))
            made = Object(_rebuild("tensor_v3"), (*view, grad, hooks, kind))
        return Object(_rebuild("parameter"), (made, tensor.requires_grad, hooks)) if tensor.parameter else made

    def _view(self, content: Writable, kind: Global | None) -> tuple[object, ...]:
        """Storage, offset, size and strides: contiguous from the begin of a storage of its own."""
        key, _ = self.storages.setdefault(id(content), (str(len(self.storages)), content))
        count = content.nbytes // content.dtype.itemsize if kind and content.dtype.itemsize else content.nbytes
        storage, shape = PersistentId(("storage", kind or _UNTYPED, key, "cpu", count)), tuple(content.shape)
        if content.dtype in _PACKED:
            shape = (*shape[:-1], shape[-1] * content.dtype.bits // 8)
        return storage, 0, shape, _strides(shape)


def _plain_value(value: object) -> object:
    """The name or call by which a value is pickled, if it is none that pickles have an opcode for."""
    if isinstance(value, complex):
        return Object(Global("builtins", "complex"), (value.real, value.imag))
    if isinstance(value, bytes):
        return Object(Global("_codecs", "encode"), (value.decode("latin-1"), "latin1"))
    if isinstance(value, bytearray):
        return Object(Global("builtins", "bytearray"), (value.decode("latin-1"), "latin1"))
    if not isinstance(value, TorchValue):
        return value
    if value.kind == "layout":
        return Object(_LAYOUT, (str(value),))
    return Object(Global("torch", "device"), (value.name,)) if value.kind == "device" else Global("torch", value.name)


def _strides(shape: Sequence[int]) -> tuple[int, ...]:
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= max(extent, 1)
    return tuple(reversed(strides))
