"""What the names in a pickled state dict stand for: storages, tensors that are views of them, and plain values.

This is the whole allow-list. Each name maps to a constructor here; nothing of torch is imported.

Source: torch/_utils.py (the rebuild functions), torch/_weights_only_unpickler.py (`_get_allowed_globals`).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn, TypeGuard

from panmodel import dtypes
from panmodel.dtypes import DType
from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.limits import Limits
from panmodel.wire.pickle import Constructor, Dictionary, Global, Object, describe

UNTYPED_STORAGES = frozenset({Global("torch.storage", "UntypedStorage"), Global("torch", "UntypedStorage")})
_NUMPY_DTYPE = Global("numpy", "dtype")
_SCALARS = {"f2": "e", "f4": "f", "f8": "d", "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q"}
_SCALARS |= {"u1": "B", "u2": "H", "u4": "I", "u8": "Q"}
#: Names of `torch` that appear as values.
_MENTIONED: tuple[str, ...] = (
    "per_tensor_affine",
    "per_channel_affine",
    "per_tensor_symmetric",
    "per_channel_symmetric",
)
_MENTIONED += ("per_channel_affine_float_qparams", "strided", "contiguous_format", "channels_last", "preserve_format")
_NOT_YET = {
    "_rebuild_qtensor": "a quantized tensor",
    "_rebuild_sparse_tensor": "a sparse tensor",
    "_rebuild_nested_tensor": "a nested tensor",
    "_rebuild_meta_tensor_no_storage": "a tensor without storage (of the meta device)",
    "_rebuild_wrapper_subclass": "a tensor of a subclass",
    "_rebuild_device_tensor_from_numpy": "a tensor of a device that keeps no storage",
    "_rebuild_device_tensor_from_cpu_tensor": "a tensor of a device that keeps no storage",
}


@dataclass(frozen=True, slots=True)
class StorageRecord:
    """A run of bytes that tensors are views of.

    Attributes:
        key: What the file calls it.
        member: The archive member with its bytes.
        dtype: Element type; None for an untyped one.
        location: The device it was saved from ("cpu", "cuda:0").
        nbytes: Its size.
    """

    key: str
    member: str
    dtype: DType | None
    location: str
    nbytes: int


@dataclass(eq=False, slots=True)
class TensorRecord:
    """A tensor: a view of a storage, known to lie inside it.

    Attributes:
        storage: The storage.
        dtype: Element type.
        offset: First element, counted in elements.
        shape: Its dimensions.
        strides: Elements from one index to the next, per dimension; never negative.
        parameter: It is an nn.Parameter.
        conjugated: The elements are to be conjugated.
        negated: The elements are to be negated.
    """

    storage: StorageRecord
    dtype: DType
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    parameter: bool = False
    conjugated: bool = False
    negated: bool = False

    @property
    def is_contiguous(self) -> bool:
        """Whether the elements lie row-major without gaps."""
        step = 1
        for extent, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if extent != 1 and stride != step:
                return 0 in self.shape
            step *= extent
        return True

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for two records of one and the same view."""
        bits = (self.conjugated, self.negated)
        return (self.storage.member, self.dtype, self.offset, self.shape, self.strides, *bits)

    @property
    def span(self) -> int:
        """Elements from the first to behind the last one."""
        return 0 if 0 in self.shape else 1 + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))


class _Constructors:
    """Makes values of the arguments in a pickle, after holding each against what it should be."""

    def __init__(self, where: str, nbytes: int, limits: Limits) -> None:
        self.where, self.limits = where, limits
        # What is copied came out of the pickle, most of it once: copying one list over and over is an attack.
        self._left = 4 * nbytes + limits.message_bytes

    def corrupt(self, message: str) -> CorruptError:
        return CorruptError(message, where=self.where)

    def copying(self, count: int) -> None:
        """Allow for a copy of that many elements."""
        self._left -= count
        if self._left < 0:
            raise LimitError("the pickle copies its own contents without end", where=self.where)

    def unsupported(self, what: str) -> Constructor:
        """The constructor of something that is refused by name."""

        def refuse(_: tuple[object, ...]) -> NoReturn:
            raise UnsupportedError(f"holds {what}, which is not read", where=self.where)

        return refuse

    def tensor(self, args: tuple[object, ...]) -> TensorRecord:
        """_rebuild_tensor(storage, offset, size, stride)."""
        if len(args) != 4:
            raise self.corrupt(f"a tensor is rebuilt from {len(args)} values, not 4")
        return self._view(args, None)

    def tensor_v2(self, args: tuple[object, ...]) -> TensorRecord:
        """_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata])."""
        if len(args) not in (6, 7):
            raise self.corrupt(f"a tensor is rebuilt from {len(args)} values, not 6 or 7")
        return self._with_bits(self._view(args[:4], None), args[6] if len(args) == 7 else None)

    def tensor_v3(self, args: tuple[object, ...]) -> TensorRecord:
        """_rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype[, metadata])."""
        if len(args) not in (7, 8):
            raise self.corrupt(f"a tensor is rebuilt from {len(args)} values, not 7 or 8")
        kind = args[6]
        if not isinstance(kind, Global) or kind.module != "torch":
            raise self.corrupt(f"{describe(kind)} as element type of a tensor")
        dtype = dtypes.BY_TORCH.get(kind.name)
        if dtype is None:
            raise UnsupportedError(f"element type {describe(kind)} is not read", where=self.where)
        return self._with_bits(self._view(args[:4], dtype), args[7] if len(args) == 8 else None)

    def parameter(self, args: tuple[object, ...]) -> TensorRecord:
        """_rebuild_parameter(data, requires_grad, hooks) and _rebuild_parameter_with_state(…, state)."""
        if len(args) not in (3, 4) or not isinstance(args[0], TensorRecord):
            raise self.corrupt("a parameter is rebuilt from something else than a tensor")
        data = args[0]
        data.parameter = True
        return data

    def _view(self, args: tuple[object, ...], dtype: DType | None) -> TensorRecord:
        """The view (storage, offset, size, stride), found to lie inside the storage."""
        storage, offset, shape, strides = args
        if not isinstance(storage, StorageRecord):
            raise self.corrupt(f"a tensor's storage is {describe(storage)}")
        dtype = dtype or storage.dtype or dtypes.UINT8
        if not _is_count(offset) or not _are_counts(shape) or not _are_counts(strides) or len(shape) != len(strides):
            raise self.corrupt(f"a view of storage {storage.key[:80]!r} has no proper offset, shape and strides")
        if len(shape) > self.limits.rank:
            raise LimitError(f"a tensor with {len(shape)} dimensions", where=self.where)
        if math.prod(max(extent, 1) for extent in shape) * dtype.itemsize >= 1 << 63:
            raise self.corrupt(f"a tensor of shape {shape} is larger than can be addressed")
        view = TensorRecord(storage, dtype, offset, shape, strides)
        if view.span and (offset + view.span) * dtype.itemsize > storage.nbytes:
            there = storage.nbytes // dtype.itemsize
            raise self.corrupt(f"a tensor reaches beyond the {there} elements of its storage {storage.key[:80]!r}")
        return view

    def _with_bits(self, view: TensorRecord, metadata: object) -> TensorRecord:
        if metadata is None:
            return view
        if not isinstance(metadata, dict) or not set(metadata) <= {"conj", "neg"}:
            raise UnsupportedError("a tensor has metadata other than conj and neg", where=self.where)
        view.conjugated, view.negated = bool(metadata.get("conj")), bool(metadata.get("neg"))
        return view

    def dictionary(self, args: tuple[object, ...]) -> Dictionary:
        """OrderedDict([items]), Counter([items])."""
        made = Dictionary()
        if len(args) > 1:
            raise self.corrupt(f"a dictionary is made of {len(args)} values")
        items = args[0] if args else ()
        pairs = list(items.items()) if isinstance(items, dict) else items
        if not isinstance(pairs, (list, tuple)):
            raise self.corrupt(f"a dictionary is made of {describe(pairs)}")
        self.copying(len(pairs))
        for pair in pairs:
            if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not isinstance(pair[0], (str, int)):
                raise self.corrupt("a dictionary is made of other things than pairs")
            made[pair[0]] = pair[1]
        return made

    def default_dictionary(self, args: tuple[object, ...]) -> Dictionary:
        """defaultdict(factory[, items]); the factory is forgotten."""
        return self.dictionary(args[1:])

    def size(self, args: tuple[object, ...]) -> tuple[int, ...]:
        """torch.Size((2, 3))."""
        if len(args) != 1 or not _are_counts(args[0]):
            raise self.corrupt("a torch.Size is made of other things than dimensions")
        return args[0]

    def device(self, args: tuple[object, ...]) -> str:
        """torch.device("cuda", 0), as "cuda:0"."""
        if len(args) not in (1, 2) or not isinstance(args[0], str) or not all(_is_count(index) for index in args[1:]):
            raise self.corrupt("a torch.device is made of other things than a name and a number")
        return ":".join([args[0], *(str(index) for index in args[1:])])

    def encoded(self, args: tuple[object, ...]) -> bytes:
        """_codecs.encode(text, "latin1"), by which protocol 2 writes bytes."""
        if len(args) != 2 or not isinstance(args[0], str) or args[1] not in ("latin1", "latin-1"):
            raise self.corrupt("bytes are encoded in other ways than latin1 text")
        self.copying(len(args[0]))
        try:
            return args[0].encode("latin-1")
        except UnicodeEncodeError:
            raise self.corrupt("bytes are encoded as text that is not latin1") from None

    def byte_array(self, args: tuple[object, ...]) -> bytearray:
        """bytearray(content); a number, which would ask for that many bytes, is refused."""
        if len(args) > 1 or not all(isinstance(arg, (bytes, bytearray)) for arg in args):
            raise self.corrupt("a bytearray is made of something else than bytes")
        content = b"".join(args)  # type: ignore[arg-type]
        self.copying(len(content))
        return bytearray(content)

    def complex_number(self, args: tuple[object, ...]) -> complex:
        """complex(real, imaginary)."""
        real, imaginary = args if len(args) == 2 else (None, None)
        if not isinstance(real, float) or not isinstance(imaginary, float):
            raise self.corrupt("a complex number is made of other things than two floats")
        return complex(real, imaginary)

    def unordered(self, args: tuple[object, ...]) -> list[object]:
        """set([…]), as a list in the order of the file."""
        if len(args) > 1 or not all(isinstance(arg, (list, tuple)) for arg in args):
            raise self.corrupt("a set is made of something else than a list")
        self.copying(sum(map(len, args)))  # type: ignore[arg-type]
        return [item for arg in args for item in arg]  # type: ignore[attr-defined]

    def numpy_scalar(self, args: tuple[object, ...]) -> object:
        """numpy.core.multiarray.scalar(dtype, bytes): the metrics in many a training checkpoint."""
        kind, data = args if len(args) == 2 else (None, None)
        if not isinstance(kind, Object) or kind.cls != _NUMPY_DTYPE or len(kind.args) == 0:
            raise self.corrupt("a numpy scalar without a dtype")
        code = kind.args[0]
        layout = _SCALARS.get(code) if isinstance(code, str) else None
        if layout is None or not isinstance(data, bytes) or len(data) != struct.calcsize("<" + layout):
            raise UnsupportedError(f"a numpy scalar of type {describe(code)} is not read", where=self.where)
        order = ">" if any(isinstance(state, tuple) and ">" in state[1:2] for state in kind.states) else "<"
        return struct.unpack(order + layout, data)[0]


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 1 << 63


def _are_counts(value: object) -> TypeGuard[tuple[int, ...]]:
    return isinstance(value, tuple) and all(map(_is_count, value))


def allow_list(where: str, nbytes: int, limits: Limits) -> Mapping[Global, Constructor | None]:
    """The names that a pickled state dict may mention; those with None stay inert records.

    Args:
        where: The file, for messages.
        nbytes: Size of the pickle: containers are copied out of it only in proportion to that.
        limits: Caps on what it asks for.
    """
    make = _Constructors(where, nbytes, limits)
    known: dict[Global, Constructor | None] = {
        Global("torch._utils", "_rebuild_tensor"): make.tensor,
        Global("torch._utils", "_rebuild_tensor_v2"): make.tensor_v2,
        Global("torch._utils", "_rebuild_tensor_v3"): make.tensor_v3,
        Global("torch._utils", "_rebuild_parameter"): make.parameter,
        Global("torch._utils", "_rebuild_parameter_with_state"): make.parameter,
        Global("torch", "Size"): make.size,
        Global("torch", "device"): make.device,
        Global("collections", "OrderedDict"): make.dictionary,
        Global("collections", "Counter"): make.dictionary,
        Global("collections", "defaultdict"): make.default_dictionary,
        Global("_codecs", "encode"): make.encoded,
        Global("numpy.core.multiarray", "scalar"): make.numpy_scalar,
        Global("numpy._core.multiarray", "scalar"): make.numpy_scalar,
        Global("numpy", "dtype"): None,
    }
    for module in ("builtins", "__builtin__"):  # protocol 2 names them as Python 2 did
        known[Global(module, "set")] = known[Global(module, "frozenset")] = make.unordered
        known[Global(module, "bytearray")] = make.byte_array
        known[Global(module, "complex")] = make.complex_number
        known |= {Global(module, kind): None for kind in ("dict", "list", "int", "float")}  # factories of defaultdict
    known |= dict.fromkeys(UNTYPED_STORAGES)
    known |= {Global("torch", name): None for name in (*dtypes.BY_TORCH, *dtypes.BY_TORCH_STORAGE, *_MENTIONED)}
    known |= {Global("torch._utils", name): make.unsupported(why) for name, why in _NOT_YET.items()}
    known[Global("torch._tensor", "_rebuild_from_type_v2")] = make.unsupported("a tensor of a subclass")
    return known
