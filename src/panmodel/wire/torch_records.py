"""The inert records that stand for what a pickle of PyTorch rebuilds: storages, tensors of every kind, numpy arrays.

Whatever container they come from, a tensor knows its storage and the storage knows its bytes.

Source: torch/_utils.py (the rebuild functions), torch/storage.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from panmodel import dtypes
from panmodel.dtypes import DType
from panmodel.io.source import Extent, MemorySource
from panmodel.wire.pickle import Global
from panmodel.wire.zip import Archive, RunningCrc, StandingCrc

_NO_BYTES = Extent(MemorySource(b"", ""), 0, 0)
LAYOUTS = ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "jagged")
QUANTIZATION_SCHEMES: tuple[str, ...] = ("per_tensor_affine", "per_channel_affine", "per_tensor_symmetric")
QUANTIZATION_SCHEMES += ("per_channel_symmetric", "per_channel_affine_float_qparams")
#: Devices that torch knows without a package of its maker, and their numbers, of which there are 128.
_DEVICE = re.compile(
    r"(cpu|cuda|ipu|xpu|mkldnn|opengl|opencl|ideep|hip|ve|fpga|maia|xla|lazy|vulkan|mps|meta|hpu|mtia|privateuseone)"
    r"(:([0-9]|[1-9][0-9]|1[01][0-9]|12[0-7]))?"
)
_NAMES = {"dtype": dtypes.TORCH_NAMES, "layout": frozenset(LAYOUTS), "qscheme": frozenset(QUANTIZATION_SCHEMES)}


@dataclass(eq=False, slots=True)
class StorageBytes:
    """The bytes of a storage, in whichever container. Two storages share memory if they have the same one.

    Attributes:
        nbytes: How many.
        extent: Where they lie in a file; None as long as that is not known, or if they are compressed.
        big_endian: Elements are big-endian.
        archive: The archive whose member they are; None in containers without checksums.
        member: Its name there.
    """

    nbytes: int
    extent: Extent | None = None
    big_endian: bool = False
    archive: Archive | None = None
    member: str = ""

    @property
    def name(self) -> str:
        """The file that they are in, for messages."""
        source = self.archive.source if self.archive else self.extent.source if self.extent else None
        return source.name if source else ""

    def checksum(self, *, whole: bool) -> Callable[[], RunningCrc | StandingCrc] | None:
        """What makes the checksum to hold them against; None if the container has none.

        Args:
            whole: All of them are read in order; else only a part, and all are read besides, once.
        """
        if self.archive is None:
            return None
        return partial(self.archive.running if whole else self.archive.standing, self.member)

    def read(self) -> bytes:
        """All of them, their checksum verified if there is one.

        Raises:
            CorruptError: They do not meet it.
        """
        if self.archive:
            return self.archive.read(self.member, limit=self.nbytes)
        return self.extent.read() if self.extent else b""


@dataclass(eq=False, slots=True)
class StorageRecord:
    """A run of elements that tensors are views of.

    Attributes:
        key: What the file calls it.
        dtype: Element type; None for an untyped one.
        location: The device it was saved from ("cpu", "cuda:0").
        nbytes: Its size.
        content: The bytes; those of a larger storage if this one is a view of it.
        begin: Its first byte in them.
    """

    key: str
    dtype: DType | None
    location: str
    nbytes: int
    content: StorageBytes
    begin: int = 0


@dataclass(frozen=True, slots=True)
class Quantizer:
    """What the integers of a quantized tensor mean: (integer - zero_point) * scale.

    Attributes:
        scheme: torch's name, "per_tensor_affine" or one of the per-channel ones.
        scale: A number, or one for each index along `axis` (a tensor or a list).
        zero_point: Likewise.
        axis: None if there is one scale for the whole tensor.
    """

    scheme: str
    scale: float | TensorRecord | list[object]
    zero_point: int | TensorRecord | list[object]
    axis: int | None = None


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
        quantizer: What the elements mean, if the type is a quantized one.
        requires_grad: It takes part in training.
        state: Attributes that were set on it.
    """

    storage: StorageRecord
    dtype: DType
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    parameter: bool = False
    conjugated: bool = False
    negated: bool = False
    quantizer: Quantizer | None = None
    requires_grad: bool = False
    state: object = None

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
        begin = self.storage.begin * 8 + self.offset * self.dtype.bits
        return (self.storage.content, self.dtype, begin, self.shape, self.strides, self.conjugated, self.negated)

    @property
    def span(self) -> int:
        """Elements from the first to behind the last one."""
        return 0 if 0 in self.shape else 1 + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))


@dataclass(eq=False, slots=True)
class MetaRecord:
    """A tensor of which only type and shape were saved (device "meta")."""

    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool = False


@dataclass(eq=False, slots=True)
class ComposedRecord:
    """A tensor that is made of several plain ones: a sparse or a nested one.

    Attributes:
        layout: torch's name: "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc" or "nested".
        dtype: Element type.
        shape: Its dimensions; None for a nested one, whose items have their own.
        components: Name → tensor. ("indices", "values"), ("crow_indices", "col_indices", "values"),
            ("ccol_indices", "row_indices", "values") or ("buffer", "sizes", "strides", "offsets").
        coalesced: Of sparse_coo: whether the indices are sorted and occur once; None if unsaid.
        parameter: It is an nn.Parameter.
    """

    layout: str
    dtype: DType
    shape: tuple[int, ...] | None
    components: Mapping[str, TensorRecord]
    coalesced: bool | None = None
    parameter: bool = False


@dataclass(eq=False, slots=True)
class SubclassRecord:
    """A tensor of a class that is not torch's own: what it is made of stands in its state.

    Attributes:
        cls: The class, by name alone.
        inner: The tensor that it wraps or was rebuilt from; None if it has no storage of its own.
        dtype: Element type that it shows, if the file says.
        shape: Shape that it shows, if the file says.
        state: Its attributes, tensors among them.
        args: What else it was rebuilt from, if it is by a function of its own.
        parameter: It is an nn.Parameter.
    """

    cls: Global
    inner: object = None
    dtype: DType | None = None
    shape: tuple[int, ...] | None = None
    state: object = None
    args: tuple[object, ...] = ()
    parameter: bool = False


@dataclass(eq=False, slots=True)
class ArrayRecord:
    """A numpy array.

    Attributes:
        code: numpy's name of the element type ("f4", "M8[ns]"), empty before the array has its state.
        dtype: Element type; None for one that is no tensor's (dates, records, objects).
        shape: Its dimensions.
        fortran: The first axis is the fastest.
        big_endian: Elements are big-endian.
        data: The bytes, in a file or in memory.
        items: The elements of an array of objects or strings, row-major.
    """

    code: str = ""
    dtype: DType | None = None
    shape: tuple[int, ...] = (0,)
    fortran: bool = False
    big_endian: bool = False
    data: Extent = _NO_BYTES
    items: list[object] = field(default_factory=list)

    @property
    def has_items(self) -> bool:
        """Whether `items` are its elements: those of numbers, dates and records stand in `data` alone."""
        return self.code[:1] in ("O", "S", "U") and len(self.items) == math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class PlainValue:
    """A value of the standard library in words.

    Attributes:
        kind: Its class ("datetime.datetime", "pathlib.PosixPath").
        text: What it is ("2024-02-29T12:00:00", "runs/1").
    """

    kind: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class TorchValue:
    """A value of one of torch's own classes that is no tensor; made by `torch_value` alone, which knows them all.

    Attributes:
        kind: Its class: one of `TorchValue.KINDS`.
        name: What it is ("float16", "sparse_coo", "per_tensor_affine", "cuda:0").
    """

    KINDS: ClassVar[tuple[str, ...]] = (*_NAMES, "device")

    kind: str
    name: str

    def __str__(self) -> str:
        return self.name if self.kind == "device" else f"torch.{self.name}"


def torch_value(kind: str, name: object) -> TorchValue | None:
    """The value of that class and name; None if torch has none."""
    if not isinstance(name, str):
        return None
    there = _DEVICE.fullmatch(name) if kind == "device" else name in _NAMES.get(kind, ())
    return TorchValue(kind, name) if there else None


def named_value(name: Global) -> TorchValue | None:
    """The value that a pickle means by a name; None if it means something else."""
    if name.module != "torch":
        return None
    return next((made for kind in _NAMES if (made := torch_value(kind, name.name))), None)


class Sizes(tuple[int, ...]):
    """A torch.Size."""

    __slots__ = ()


class Listed(list[object]):
    """What a set or deque holds, in the order of the file.

    Args:
        kind: "set", "frozenset" or "deque".
        items: What it holds.
    """

    def __init__(self, kind: str, items: Iterable[object] = ()) -> None:
        super().__init__(items)
        self.kind = kind
