"""The allow-list: every name that a pickle of PyTorch may mention, and what is made of a call of it.

Nothing of what they name is imported. A name without a constructor stays an inert record, and so does what is called
or instantiated by it. Whatever is not on the list stays inert too, and is reported.

Source: torch/_weights_only_unpickler.py (`_get_allowed_globals`), and the files that people have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType

from panmodel import dtypes
from panmodel.dtypes import DType
from panmodel.errors import CorruptError
from panmodel.limits import DEFAULT, Limits
from panmodel.wire.pickle import Constructor, Global, describe
from panmodel.wire.torch_numpy import OF_ML_DTYPES, SCALAR_TYPES, Arrays
from panmodel.wire.torch_rebuild import FUNCTIONS, Rebuilding
from panmodel.wire.torch_records import (
    LAYOUTS,
    QUANTIZATION_SCHEMES,
    ArrayRecord,
    PlainValue,
    Sizes,
    SubclassRecord,
    TensorRecord,
    TorchValue,
    torch_value,
)
from panmodel.wire.torch_values import Values, are_counts, is_count

UNTYPED_STORAGES = frozenset({Global("torch.storage", "UntypedStorage"), Global("torch", "UntypedStorage")})
#: Names of `torch` that appear as values.
_MENTIONED = (
    "contiguous_format",
    "channels_last",
    "channels_last_3d",
    "preserve_format",
    "Tensor",
    "Generator",
)
#: Classes of the standard library and others that hold plain data, and that checkpoints are full of.
_DATA_CLASSES = (
    ("argparse", "Namespace"),
    ("types", "SimpleNamespace"),
    ("typing", "Any"),
    ("uuid", "UUID"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.random", "__RandomState_ctor"),  # of numpy 1.16 and before
    ("numpy.random._mt19937", "MT19937"),
    ("numpy.random._pcg64", "PCG64"),
    ("numpy.random._philox", "Philox"),
    ("numpy.random._sfc64", "SFC64"),
    ("numpy.random.bit_generator", "SeedSequence"),
    ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"),
    ("torch._C", "Generator"),
    ("torch.nn.parameter", "Buffer"),
    ("torch._tensor", "Tensor"),
    ("torch.nn.backends.thnn", "_get_thnn_function_backend"),  # in every module of torch 0.4 and before
)
#: Makes the constructor of a name for one pickle.
_Maker = Callable[["AllowList"], Constructor]
#: Factories of defaultdict, bases, types of values, by the names of Python 2 too.
_BUILTINS = ("object", "dict", "list", "tuple", "int", "long", "float", "str", "unicode", "bool", "Ellipsis")
#: What is mentioned and never called.
_INERT: dict[Global, _Maker | None] = dict.fromkeys(
    [
        *(Global(module, kind) for module in ("builtins", "__builtin__") for kind in _BUILTINS),
        *(Global(module, name) for module, name in _DATA_CLASSES),
        *(Global("numpy", name) for name in SCALAR_TYPES),
        *(Global("ml_dtypes", name) for name in OF_ML_DTYPES),
    ]
)


class AllowList:
    """The names that a pickle may mention.

    Args:
        where: The file, for messages.
        nbytes: Size of the pickle: containers are copied out of it only in proportion to that.
        limits: Caps on what it asks for.
        also: More of them, for formats that have their own.

    Attributes:
        where: As given.
        known: Name → constructor; those with None stay inert records.
        tensors: The constructors of tensors.
        arrays: Those of numpy's values.
        values: Those of all other values.
    """

    def __init__(
        self,
        where: str,
        nbytes: int,
        limits: Limits = DEFAULT,
        also: Mapping[Global, Constructor | None] = MappingProxyType({}),
    ) -> None:
        self.where = where
        self.arrays, self.tensors = Arrays(where, nbytes, limits), Rebuilding(where, nbytes, limits)
        self.values = Values(where, nbytes, limits)
        self.known: Mapping[Global, Constructor | None] = _Constructors(_MAKERS, self, also)

    @property
    def passed(self) -> set[Global]:
        """Names that unpickling hands to functions of the list, which call them."""
        return self.values.passed | self.arrays.passed | self.tensors.passed

    def set_state(self, target: object, state: object) -> None:
        """What BUILD does to the records that constructors of the list make.

        Raises:
            CorruptError: The state is none of such a record.
        """
        if isinstance(target, TensorRecord):
            self.tensors.set_state(target, state)
        elif isinstance(target, ArrayRecord):
            self.arrays.set_state(target, state)
        elif isinstance(target, SubclassRecord):
            target.state = state
        else:
            raise CorruptError(f"{describe(target)} takes no state", where=self.where)


class _Constructors(Mapping[Global, Constructor | None]):
    """Constructors that are made when they are asked for: a distributed checkpoint has a pickle for each tensor.

    Args:
        makers: Name → what makes its constructor; None of those that stay inert records.
        names: What they are made for.
        also: Further constructors.
    """

    def __init__(
        self,
        makers: Mapping[Global, _Maker | None],
        names: AllowList,
        also: Mapping[Global, Constructor | None] = MappingProxyType({}),
    ) -> None:
        self._makers, self._names, self._made = makers, names, dict(also)

    def __getitem__(self, name: Global) -> Constructor | None:
        try:
            return self._made[name]
        except KeyError:
            maker = self._makers[name]
        return self._made.setdefault(name, maker(self._names) if maker is not None else None)

    def __contains__(self, name: object) -> bool:
        return name in self._makers or name in self._made

    def __iter__(self) -> Iterator[Global]:
        return iter({**self._makers, **self._made})

    def __len__(self) -> int:
        return len(self._makers.keys() | self._made.keys())


def _of_python() -> dict[Global, _Maker]:
    known: dict[Global, _Maker] = {
        Global("collections", "OrderedDict"): lambda names: names.values.dictionary,
        Global("collections", "Counter"): lambda names: names.values.counter,
        Global("collections", "defaultdict"): lambda names: names.values.default_dictionary,
        Global("collections", "deque"): _listed("deque"),
        Global("_codecs", "encode"): lambda names: names.values.encoded,
        Global("decimal", "Decimal"): lambda names: names.values.number_in_words("decimal.Decimal"),
        Global("fractions", "Fraction"): lambda names: names.values.number_in_words("fractions.Fraction"),
        Global("datetime", "timedelta"): lambda names: names.values.duration,
        Global("datetime", "timezone"): lambda names: names.values.zone,
    }
    known |= {Global("datetime", kind): _moment(kind) for kind in ("date", "time", "datetime")}
    for module in ("pathlib", "pathlib._local"):
        for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path", "PurePath"):
            known[Global(module, name)] = lambda names: names.values.path
    for module in ("builtins", "__builtin__"):  # protocol 2 names them as Python 2 did
        known |= {Global(module, kind): _listed(kind) for kind in ("set", "frozenset")}
        known |= {Global(module, name): _steps(name) for name in ("range", "xrange", "slice")}
        known[Global(module, "bytearray")] = lambda names: names.values.byte_array
        known[Global(module, "bytes")] = lambda names: names.values.empty_bytes
        known[Global(module, "complex")] = lambda names: names.values.complex_number
    for module in ("copyreg", "copy_reg"):
        known[Global(module, "_reconstructor")] = lambda names: names.values.reconstructed
        known[Global(module, "__newobj__")] = lambda names: names.values.instance
    return known


def _listed(kind: str) -> _Maker:
    return lambda names: names.values.listed(kind)


def _moment(kind: str) -> _Maker:
    return lambda names: names.values.moment(kind)


def _steps(name: str) -> _Maker:
    return lambda names: names.values.steps(name)


def _of_numpy() -> dict[Global, _Maker]:
    known: dict[Global, _Maker] = {}
    for package in ("numpy.core", "numpy._core"):
        known[Global(f"{package}.multiarray", "scalar")] = lambda names: names.arrays.scalar
        known[Global(f"{package}.multiarray", "_reconstruct")] = lambda names: names.arrays.reconstructed
        known[Global(f"{package}.numeric", "_frombuffer")] = lambda names: names.arrays.buffered
    for name in ("__randomstate_ctor", "__generator_ctor", "__bit_generator_ctor"):
        known[Global("numpy.random._pickle", name)] = _generator(name)
    return known


def _generator(name: str) -> _Maker:
    return lambda names: names.arrays.generator(name)


def _of_torch() -> dict[Global, _Maker | None]:
    known: dict[Global, _Maker | None] = dict.fromkeys(UNTYPED_STORAGES) | dict.fromkeys(
        Global("torch", name)
        for name in (*dtypes.TORCH_NAMES, *dtypes.BY_TORCH_STORAGE, *QUANTIZATION_SCHEMES, *LAYOUTS, *_MENTIONED)
    )
    for name, dtype in dtypes.BY_TORCH_STORAGE.items():
        known[Global("torch", name.removesuffix("Storage") + "Tensor")] = _empty(dtype)
    known |= {Global("torch._utils", name): _rebuilding(function) for name, function in FUNCTIONS.items()}
    known[Global("torch.nn.parameter", "Parameter")] = lambda names: names.tensors.parameter
    known[Global("torch._tensor", "_rebuild_from_type_v2")] = lambda names: names.tensors.from_type(
        _Constructors(_MAKERS_OF_TORCH, names)
    )
    return known | {
        Global("torch", "Size"): lambda names: _size(names.where),
        Global("torch", "device"): lambda names: _device(names.where),
        Global("torch.serialization", "_get_layout"): lambda names: _layout(names.where),
        Global("torch.torch_version", "TorchVersion"): lambda names: _version(names.where),
    }


def _empty(dtype: DType) -> _Maker:
    return lambda names: names.tensors.empty(dtype)


def _rebuilding(function: Callable[[Rebuilding, tuple[object, ...]], object]) -> _Maker:
    return lambda names: partial(function, names.tensors)


def _size(where: str) -> Constructor:
    """torch.Size((2, 3))."""

    def make(args: tuple[object, ...]) -> Sizes:
        if len(args) != 1 or not are_counts(tuple(args[0]) if isinstance(args[0], list) else args[0]):
            raise CorruptError("a torch.Size is made of other things than dimensions", where=where)
        return Sizes(args[0])  # type: ignore[arg-type]

    return make


def _device(where: str) -> Constructor:
    """torch.device("cuda", 0); one that torch does not have without a package of its maker is told in words."""

    def make(args: tuple[object, ...]) -> TorchValue | PlainValue:
        if len(args) not in (1, 2) or not isinstance(args[0], str) or not all(is_count(index) for index in args[1:]):
            raise CorruptError("a torch.device is made of other things than a name and a number", where=where)
        name = ":".join([args[0], *(str(index) for index in args[1:])])
        return torch_value("device", name) or PlainValue("torch.device", name)

    return make


def _version(where: str) -> Constructor:
    """torch.__version__, as text."""

    def make(args: tuple[object, ...]) -> str:
        if len(args) != 1 or not isinstance(args[0], str):
            raise CorruptError("a version of torch is made of other things than its text", where=where)
        return args[0]

    return make


def _layout(where: str) -> Constructor:
    """_get_layout("torch.sparse_coo"), as the name that it stands for."""

    def make(args: tuple[object, ...]) -> Global:
        name = args[0].removeprefix("torch.") if len(args) == 1 and isinstance(args[0], str) else ""
        if name not in LAYOUTS:
            raise CorruptError(f"{describe(args[0] if args else None)} is no layout of a tensor", where=where)
        return Global("torch", name)

    return make


_MAKERS_OF_TORCH: Mapping[Global, _Maker | None] = _of_torch()
_MAKERS: Mapping[Global, _Maker | None] = {**_INERT, **_of_python(), **_of_numpy(), **_MAKERS_OF_TORCH}
