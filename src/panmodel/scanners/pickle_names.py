"""The names that a pickle may mention without anything foreign being executed: an allow-list.

Unpickling imports every name and calls many. Those here build plain values, tensors and arrays, whatever their
arguments are; nothing is said of any other name but that it is not among them.

Source: torch/_weights_only_unpickler.py (`_get_allowed_globals`), torch/_utils.py, numpy/_core/multiarray.py.
"""

from __future__ import annotations

import re
import sys
from functools import cache

from panmodel import dtypes
from panmodel.model.torch.classes import COMPANIONS, is_foreign
from panmodel.wire.pickle import Global, Object
from panmodel.wire.torch_numpy import OF_ML_DTYPES, SCALAR_TYPES

_REBUILDERS = (
    "_rebuild_tensor",
    "_rebuild_tensor_v2",
    "_rebuild_tensor_v3",
    "_rebuild_parameter",
    "_rebuild_parameter_with_state",
    "_rebuild_qtensor",
    "_rebuild_sparse_tensor",
    "_rebuild_sparse_csr_tensor",
    "_rebuild_nested_tensor",
    "_rebuild_meta_tensor_no_storage",
    "_rebuild_wrapper_subclass",
    "_rebuild_device_tensor_from_numpy",
    "_rebuild_device_tensor_from_cpu_tensor",
)
#: Records that describe the files of a distributed checkpoint.
_OF_DISTRIBUTED = (
    "BytesStorageMetadata",
    "ChunkStorageMetadata",
    "Metadata",
    "MetadataIndex",
    "StorageMeta",
    "TensorProperties",
    "TensorStorageMetadata",
    "_MEM_FORMAT_ENCODING",
)
_OTHERS = {
    "argparse": ("Namespace",),
    "collections": ("OrderedDict", "Counter", "defaultdict", "deque"),
    "datetime": ("date", "time", "datetime", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "numpy": ("dtype", "ndarray"),
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "numpy.core.numeric": ("_frombuffer",),
    "numpy._core.numeric": ("_frombuffer",),
    "numpy.random": ("__RandomState_ctor",),
    "numpy.random._pickle": ("__randomstate_ctor", "__generator_ctor", "__bit_generator_ctor"),
    "numpy.random._mt19937": ("MT19937",),
    "numpy.random._pcg64": ("PCG64", "PCG64DXSM"),
    "numpy.random._philox": ("Philox",),
    "numpy.random._sfc64": ("SFC64",),
    "numpy.random.bit_generator": ("SeedSequence", "__pyx_unpickle_SeedSequence"),
    "pathlib": ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path", "PurePath"),
    "torch": ("Tensor", "Generator"),
    "torch._C": ("Generator",),
    "torch.distributed.checkpoint.filesystem": ("_StorageInfo",),
    "torch.distributed.checkpoint.metadata": _OF_DISTRIBUTED,
    "torch.torch_version": ("TorchVersion",),
    "types": ("SimpleNamespace",),
    "typing": ("Any",),
    "_codecs": ("encode",),
    "torch._tensor": ("_rebuild_from_type_v2",),
    "torch._utils": _REBUILDERS,
    "torch.nn": ("Parameter",),
    "torch.nn.parameter": ("Parameter", "Buffer", "UninitializedParameter", "UninitializedBuffer"),
    "torch.nn.backends.thnn": ("_get_thnn_function_backend",),
    "torch.serialization": ("_get_layout",),
    "torch.storage": ("TypedStorage", "UntypedStorage", "_TypedStorage", "_UntypedStorage"),
    "uuid": ("UUID",),
}
#: Layouts, memory formats, schemes of quantization, element types that only some versions have, and plain values.
_TORCH: tuple[str, ...] = (
    "per_tensor_affine",
    "per_channel_affine",
    "per_tensor_symmetric",
    "per_channel_symmetric",
    "Size",
    "device",
)
_TORCH += ("per_channel_affine_float_qparams", "strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr")
_TORCH += ("sparse_bsc", "contiguous_format", "channels_last", "channels_last_3d", "preserve_format", "UntypedStorage")
_TORCH += ("quint8", "qint8", "qint32", "_mkldnn", "jagged")
#: Of the built-in types only values; `builtins` also has eval, exec, getattr, open and __import__.
_VALUES: tuple[str, ...] = (
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "object",
    "range",
)
_VALUES += ("set", "slice", "str", "tuple", "Ellipsis", "long", "unicode", "xrange")
_TENSOR_TYPES = re.compile(r"(Bool|Byte|Char|Short|Int|Long|Half|BFloat16|Float|Double|Complex\w*)(Tensor|Storage)")
_CLASS = re.compile(r"_?[A-Z][A-Za-z0-9_]*")
_FUNCTION = re.compile(r"[a-z][a-z0-9_]*")
#: What members of enumerations are made of: a number, or a word that is no path, no expression and no command's line.
_WORD = re.compile(r"[A-Za-z0-9_-]{0,64}")
#: Classes of PyTorch whose objects take their state as it is.
_LAYERS = (
    "torch.nn.modules.",
    "torch.ao.nn.",
    "torch.ao.quantization.",
    "torch.nn.parallel.data_parallel",
    "torch.nn.backends.",
    "torch.nn.utils.",
    "torch.distributions.",
    "torch.utils.data.dataset",
    "torch.utils.data.sampler",
)
_OPTIMIZERS = "torch.optim."
#: What removes a hook, whose state is a tuple.
_HANDLE = Global("torch.utils.hooks", "RemovableHandle")
#: What TorchScript's own unpickler knows; it is not Python's and imports nothing. The names have no dots: were such an
#: archive unpickled by Python, attributes of a function would lead to everything.
_TORCHSCRIPT = re.compile(
    r"__torch__(\.\w+)*:\w+|torch\.ScriptObject:\w+"
    r"|torch\.jit\._pickle:(build_(int|tensor|double|bool)list|build_tensor_from_id|restore_type_tag)"
)


@cache
def _allowed() -> frozenset[Global]:
    found = {Global(module, name) for module, names in _OTHERS.items() for name in names}
    found |= {Global("torch", name) for name in (*dtypes.TORCH_NAMES, *dtypes.BY_TORCH_STORAGE)}
    found |= {Global("torch", name) for name in _TORCH}
    found |= {Global("numpy", name) for name in SCALAR_TYPES} | {Global("ml_dtypes", name) for name in OF_ML_DTYPES}
    return frozenset(found | {Global(module, name) for module in ("builtins", "__builtin__") for name in _VALUES})


def is_allowed(name: Global, *, torchscript: bool = False) -> bool:
    """Whether nothing foreign is executed by this name, even when it is called.

    Args:
        name: The class or function.
        torchscript: The pickle belongs to a TorchScript archive, which Python does not unpickle.
    """
    if name in _allowed():
        return True
    if name.module in ("torch", "torch.cuda", "torch.sparse") and _TENSOR_TYPES.fullmatch(name.name):
        return True
    return torchscript and _TORCHSCRIPT.fullmatch(f"{name.module}:{name.name}") is not None


def is_layer(name: Global) -> bool:
    """Whether this is a class of a layer or optimizer of PyTorch itself, or of what else is saved beside these."""
    known = name.module.startswith((*_LAYERS, _OPTIMIZERS)) or name in COMPANIONS
    return known and _CLASS.fullmatch(name.name) is not None


def is_tensor_function(name: Global) -> bool:
    """Whether this is a function of tensors, which a layer may keep as its activation."""
    known = ("torch.nn.functional", "torch._C._nn", "torch.nn.init")
    return name.module in known and _FUNCTION.fullmatch(name.name) is not None


def may_be_users(name: Global) -> bool:
    """Whether this could be a class of the model's author, rather than one that every installation has."""
    return is_foreign(name) and _CLASS.fullmatch(name.name) is not None


def may_be_users_function(name: Global) -> bool:
    """Whether this could be a function of the model's author, which is harmless as long as nothing calls it."""
    return is_foreign(name) and name.name.isascii()


def is_stdlib(name: Global) -> bool:
    """Whether this lies in a module of Python's standard library."""
    return name.module.partition(".")[0] in sys.stdlib_module_names


def makes_member(made: Object) -> bool:
    """Whether an object is made as objects are, or by a call with nothing or what members of enumerations have."""
    if not made.called or not (made.args or made.kwargs):
        return True
    value = made.args[0] if len(made.args) == 1 and not made.kwargs else made
    return isinstance(value, (bool, int, float)) or (isinstance(value, str) and _WORD.fullmatch(value) is not None)


def takes_plain_state(made: Object) -> bool:
    """Whether an object is made as layers are: empty, and then given a dictionary of attributes."""
    if made.called or made.args or made.kwargs or made.items or made.elements:
        return False
    kinds = (dict, tuple) if made.cls == _HANDLE else dict
    return bool(made.states) and all(isinstance(state, kinds) for state in made.states)
