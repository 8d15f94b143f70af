"""The allow-list: every name that a pickle of PyTorch may mention, and what is made of a call of it.

Nothing of what they name is imported. A name without a constructor stays an inert record, and so does what is called
or instantiated by it. Whatever is not on the list stays inert too, and is reported.

Source: torch/_weights_only_unpickler.py (`_get_allowed_globals`), and the files that people have.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from panmodel import dtypes
from panmodel.errors import CorruptError
from panmodel.limits import DEFAULT, Limits
from panmodel.wire.pickle import Constructor, Global, describe
from panmodel.wire.torch_numpy import OF_ML_DTYPES, SCALAR_TYPES, Arrays
from panmodel.wire.torch_rebuild import Rebuilding
from panmodel.wire.torch_records import ArrayRecord, SubclassRecord, TensorRecord
from panmodel.wire.torch_values import Values, are_counts, is_count

UNTYPED_STORAGES = frozenset({Global("torch.storage", "UntypedStorage"), Global("torch", "UntypedStorage")})
#: Names of `torch` that appear as values.
_MENTIONED = (
    "per_tensor_affine",
    "per_channel_affine",
    "per_tensor_symmetric",
    "per_channel_symmetric",
    "per_channel_affine_float_qparams",
    "contiguous_format",
    "channels_last",
    "channels_last_3d",
    "preserve_format",
    "Tensor",
    "Generator",
)
_LAYOUTS = ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "jagged")
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
#: Factories of defaultdict, bases, types of values, by the names of Python 2 too.
_BUILTINS = ("object", "dict", "list", "tuple", "int", "long", "float", "str", "unicode", "bool", "Ellipsis")
#: What is mentioned and never called; kept ready, since a distributed checkpoint has a pickle for each tensor.
_INERT: dict[Global, Constructor | None] = dict.fromkeys(
    [
        *(Global(module, kind) for module in ("builtins", "__builtin__") for kind in _BUILTINS),
        *(Global(module, name) for module, name in _DATA_CLASSES),
        *(Global("numpy", name) for name in SCALAR_TYPES),
        *(Global("ml_dtypes", name) for name in OF_ML_DTYPES),
    ]
)
_INERT_OF_TORCH: dict[Global, Constructor | None] = dict.fromkeys(UNTYPED_STORAGES) | dict.fromkeys(
    Global("torch", name)
    for name in (*dtypes.BY_TORCH, *dtypes.TORCH_PACKED, *dtypes.BY_TORCH_STORAGE, *_MENTIONED, *_LAYOUTS)
)


class AllowList:
    """The names that a pickle may mention.

    Args:
        where: The file, for messages.
        nbytes: Size of the pickle: containers are copied out of it only in proportion to that.
        limits: Caps on what it asks for.
        also: More of them, for formats that have their own.

    Attributes:
        known: Name → constructor; those with None stay inert records.
        tensors: The constructors of tensors.
    """

    def __init__(
        self,
        where: str,
        nbytes: int,
        limits: Limits = DEFAULT,
        also: Mapping[Global, Constructor | None] = MappingProxyType({}),
    ) -> None:
        self._where = where
        self._arrays, self.tensors = Arrays(where, nbytes, limits), Rebuilding(where, nbytes, limits)
        self._values = Values(where, nbytes, limits)
        known = _INERT | _of_python(self._values) | _of_numpy(self._arrays)
        self.known: Mapping[Global, Constructor | None] = {**known, **_of_torch(self.tensors, where), **also}

    @property
    def passed(self) -> set[Global]:
        """Names that unpickling hands to functions of the list, which call them."""
        return self._values.passed | self._arrays.passed | self.tensors.passed

    def set_state(self, target: object, state: object) -> None:
        """What BUILD does to the records that constructors of the list make.

        Raises:
            CorruptError: The state is none of such a record.
        """
        if isinstance(target, TensorRecord):
            self.tensors.set_state(target, state)
        elif isinstance(target, ArrayRecord):
            self._arrays.set_state(target, state)
        elif isinstance(target, SubclassRecord):
            target.state = state
        else:
            raise CorruptError(f"{describe(target)} takes no state", where=self._where)


def _of_python(make: Values) -> dict[Global, Constructor | None]:
    known: dict[Global, Constructor | None] = {
        Global("collections", "OrderedDict"): make.dictionary,
        Global("collections", "Counter"): make.dictionary,
        Global("collections", "defaultdict"): make.default_dictionary,
        Global("collections", "deque"): make.listed,
        Global("_codecs", "encode"): make.encoded,
        Global("decimal", "Decimal"): make.number_in_words("decimal.Decimal"),
        Global("fractions", "Fraction"): make.number_in_words("fractions.Fraction"),
        Global("datetime", "timedelta"): make.duration,
        Global("datetime", "timezone"): make.zone,
    }
    known |= {Global("datetime", kind): make.moment(kind) for kind in ("date", "time", "datetime")}
    for module in ("pathlib", "pathlib._local"):
        for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path", "PurePath"):
            known[Global(module, name)] = make.path
    for module in ("builtins", "__builtin__"):  # protocol 2 names them as Python 2 did
        known |= {Global(module, kind): make.listed for kind in ("set", "frozenset")}
        known[Global(module, "bytearray")] = make.byte_array
        known[Global(module, "bytes")] = make.empty_bytes
        known[Global(module, "complex")] = make.complex_number
    for module in ("copyreg", "copy_reg"):
        known[Global(module, "_reconstructor")] = make.reconstructed
        known[Global(module, "__newobj__")] = make.instance
    for name in ("range", "xrange", "slice"):
        known |= {Global(module, name): make.steps(name) for module in ("builtins", "__builtin__")}
    return known


def _of_numpy(make: Arrays) -> dict[Global, Constructor | None]:
    known: dict[Global, Constructor | None] = {}
    for package in ("numpy.core", "numpy._core"):
        known[Global(f"{package}.multiarray", "scalar")] = make.scalar
        known[Global(f"{package}.multiarray", "_reconstruct")] = make.reconstructed
        known[Global(f"{package}.numeric", "_frombuffer")] = make.buffered
    for name in ("__randomstate_ctor", "__generator_ctor", "__bit_generator_ctor"):
        known[Global("numpy.random._pickle", name)] = make.generator(name)
    return known


def _of_torch(make: Rebuilding, where: str) -> dict[Global, Constructor | None]:
    known = dict(_INERT_OF_TORCH)
    for name, dtype in dtypes.BY_TORCH_STORAGE.items():
        known[Global("torch", name.removesuffix("Storage") + "Tensor")] = make.empty(dtype)
    known |= {Global("torch._utils", name): function for name, function in make.functions().items()}
    known[Global("torch.nn.parameter", "Parameter")] = make.parameter
    known[Global("torch._tensor", "_rebuild_from_type_v2")] = make.from_type(known)
    known |= {
        Global("torch", "Size"): _size(where),
        Global("torch", "device"): _device(where),
        Global("torch.serialization", "_get_layout"): _layout(where),
        Global("torch.torch_version", "TorchVersion"): _version(where),
    }
    return known


def _size(where: str) -> Constructor:
    """torch.Size((2, 3)), as a tuple."""

    def make(args: tuple[object, ...]) -> tuple[int, ...]:
        if len(args) != 1 or not are_counts(tuple(args[0]) if isinstance(args[0], list) else args[0]):
            raise CorruptError("a torch.Size is made of other things than dimensions", where=where)
        return tuple(args[0])  # type: ignore[arg-type]

    return make


def _device(where: str) -> Constructor:
    """torch.device("cuda", 0), as "cuda:0"."""

    def make(args: tuple[object, ...]) -> str:
        if len(args) not in (1, 2) or not isinstance(args[0], str) or not all(is_count(index) for index in args[1:]):
            raise CorruptError("a torch.device is made of other things than a name and a number", where=where)
        return ":".join([args[0], *(str(index) for index in args[1:])])

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
        if name not in _LAYOUTS:
            raise CorruptError(f"{describe(args[0] if args else None)} is no layout of a tensor", where=where)
        return Global("torch", name)

    return make
