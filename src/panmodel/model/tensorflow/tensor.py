"""TensorFlow's TensorProto ↔ lazy tensors, and its shapes.

Source: tensorflow/core/framework/{tensor,tensor_shape}.proto; tensor.cc (FromProtoField) for what a short list means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from panmodel.dtypes import BY_TENSORFLOW, STRING, DType
from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.io.source import Extent, MemorySource
from panmodel.limits import DEFAULT
from panmodel.model.tensor import DeferredTensor, StoredTensor, Tensor
from panmodel.wire.protobuf import Numbers
from panmodel.wire.tensorflow_messages import REF, Dim, TensorProto, TensorShapeProto

if TYPE_CHECKING:
    import numpy as np

_IN_INT_VAL = (
    "int32", "int16", "int8", "uint8", "uint16", "qint8", "quint8", "qint16", "quint16", "qint32",
    "int4", "uint4", "int2", "uint2",
)  # fmt: skip

#: Element type → the list of a TensorProto that holds its elements, and the kind of number on the wire.
_VALUES: dict[str, tuple[str, str]] = {
    "float32": ("float_val", "float"),
    "float64": ("double_val", "double"),
    "complex64": ("scomplex_val", "float"),
    "complex128": ("dcomplex_val", "double"),
    "int64": ("int64_val", "int64"),
    "bool": ("bool_val", "bool"),
    "float16": ("half_val", "int32"),
    "bfloat16": ("half_val", "int32"),
    "uint32": ("uint32_val", "uint32"),
    "uint64": ("uint64_val", "uint64"),
} | dict.fromkeys(_IN_INT_VAL, ("int_val", "int32"))


def dtype_from_proto(number: int, where: str) -> DType | None:
    """The element type of a DataType number, references (`DT_FLOAT_REF`) as what they refer to; None for DT_INVALID.

    Args:
        number: The number on the wire.
        where: What it belongs to, for the message.

    Raises:
        CorruptError: TensorFlow has no such type.
    """
    if number == 0:
        return None
    dtype = BY_TENSORFLOW.get(number - REF if number > REF else number)
    if dtype is None:
        raise CorruptError(f"{where}: element type number {number}, which TensorFlow does not have")
    return dtype


def shape_from_proto(proto: TensorShapeProto, where: str) -> tuple[int | None, ...] | None:
    """A shape: None for an unknown rank, None in place of an unknown dimension.

    Raises:
        CorruptError: A dimension is below -1.
        LimitError: The rank exceeds the limit.
    """
    if proto.unknown_rank:
        return None
    dims = proto.dim
    if len(dims) > DEFAULT.rank:
        raise LimitError(f"{where}: rank {len(dims)} exceeds {DEFAULT.rank}")
    sizes = [dim.size for dim in dims]
    if any(size < -1 for size in sizes):
        raise CorruptError(f"{where}: shape {sizes} has a dimension below -1")
    return tuple(None if size == -1 else size for size in sizes)


def proto_from_shape(shape: Sequence[int | None] | None) -> TensorShapeProto:
    """The opposite of `shape_from_proto`."""
    if shape is None:
        return TensorShapeProto(unknown_rank=True)
    if not shape:
        return TensorShapeProto()
    return TensorShapeProto(dim=[Dim(size=-1 if size is None else size) for size in shape])


def tensor_from_proto(name: str, proto: TensorProto) -> Tensor:
    """The lazy tensor of a TensorProto.

    Args:
        name: What the tensor is called: the name of its Const node. One that was put in as a tensor keeps its own name.
        proto: The message.

    Raises:
        CorruptError: The bytes do not fit the type and shape.
        UnsupportedError: Elements that only TensorFlow's own code can make sense of (resource, variant).
    """
    where = f"tensor {name!r}"
    dtype = dtype_from_proto(proto.dtype, where)
    if dtype is None:
        raise CorruptError(f"{where} has no element type")
    if dtype.kind == "o":
        raise UnsupportedError(f"{where} holds {dtype} elements, which are not data")
    shape = _full_shape(proto, where)
    size = math.prod(shape)
    content = proto.tensor_content
    if isinstance(content, Tensor):  # of a graph that was made here and not written yet
        return content
    if isinstance(content, Extent) and content.nbytes:
        if dtype.bits >= 8:
            return StoredTensor(name, dtype, shape, content)
        return DeferredTensor(name, dtype, shape, _content_loader(where, dtype, shape, content))
    width = len(proto.string_val[-1]) if dtype is STRING and proto.string_val else 1
    if size * width > DEFAULT.filled_elements:
        raise LimitError(f"{where}: {size} elements made of a few values exceed {DEFAULT.filled_elements}")
    return DeferredTensor(name, dtype, shape, lambda: _filled(_values(proto, dtype, where), dtype, shape))


def proto_from_tensor(tensor: Tensor) -> TensorProto:
    """The TensorProto of a tensor; its bytes are read when the message is encoded.

    Raises:
        UnsupportedError: TensorFlow has no such element type.
    """
    if tensor.dtype.tensorflow is None or tensor.dtype.kind == "o":
        raise UnsupportedError(f"tensor {tensor.name!r}: TensorFlow stores no {tensor.dtype} elements")
    proto = TensorProto(dtype=tensor.dtype.tensorflow, tensor_shape=proto_from_shape(tensor.shape))
    if tensor.dtype is STRING:
        flat = tensor.numpy().reshape(-1).tolist()
        proto.string_val = [text.encode() if isinstance(text, str) else bytes(text) for text in flat]
    elif tensor.dtype.bits < 8:  # one element per byte here, unlike everywhere else
        data = tensor.numpy().tobytes()
        proto.tensor_content = Extent(MemorySource(data), 0, len(data))
    elif tensor.nbytes:
        proto.tensor_content = tensor
    return proto


def _full_shape(proto: TensorProto, where: str) -> tuple[int, ...]:
    shape = shape_from_proto(proto.tensor_shape or TensorShapeProto(), where)
    sizes = tuple(size for size in shape or () if size is not None)
    if shape is None or len(sizes) != len(shape):
        raise CorruptError(f"{where}: a tensor's shape must be known, found {shape}")
    if math.prod(sizes) >= 1 << 62:
        raise CorruptError(f"{where}: shape {sizes} has more elements than there can be")
    return sizes


def _content_loader(where: str, dtype: DType, shape: tuple[int, ...], content: Extent) -> Callable[[], np.ndarray]:
    """How to read a `tensor_content` that is no plain row of elements: strings, and small integers byte by byte."""
    size = math.prod(shape)
    if dtype is STRING:
        if size > content.nbytes:
            raise CorruptError(f"{where}: {size} strings in {content.nbytes} bytes", where=content.source.name)
        return lambda: _strings(content, where, shape)
    if content.nbytes != size:
        found = f"{content.nbytes} bytes stored, {dtype}{list(shape)} needs {size}"
        raise CorruptError(f"{where}: {found}", where=content.source.name)

    def load() -> np.ndarray:
        import numpy as np

        return np.frombuffer(content.read(), np.uint8).view(dtype.numpy).reshape(shape)

    return load


def _strings(content: Extent, where: str, shape: tuple[int, ...]) -> np.ndarray:
    """Strings in a `tensor_content`: their lengths as varints, then their bytes."""
    data = content.read()
    position, lengths = 0, []
    for _ in range(math.prod(shape)):
        length = shift = 0
        while position < len(data) and shift < 70:
            byte = data[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        lengths.append(length)
    if position + sum(lengths) != len(data):
        raise CorruptError(f"{where}: the lengths of its strings do not add up", where=content.source.name)
    found = []
    for length in lengths:
        found.append(data[position : position + length])
        position += length
    return _objects(found, shape)


def _values(proto: TensorProto, dtype: DType, where: str) -> np.ndarray:
    """The elements that are listed one by one."""
    import numpy as np

    if dtype is STRING:
        return _objects(list(proto.string_val), (len(proto.string_val),))
    if dtype.name.startswith("float8"):
        return np.frombuffer(proto.float8_val, np.uint8).view(dtype.numpy)
    field, kind = _VALUES[dtype.name]
    listed = getattr(proto, field)
    numbers = listed.array() if isinstance(listed, Numbers) else np.asarray(listed)
    if field == "half_val":
        return numbers.astype(np.uint16).view(dtype.numpy)
    if dtype.kind == "c":
        if len(numbers) % 2:
            raise CorruptError(f"{where}: {len(numbers)} numbers are no whole number of complex elements")
        return numbers.astype(kind.replace("float", "f4").replace("double", "f8")).view(dtype.numpy)
    return numbers.astype(dtype.numpy)


def _filled(values: np.ndarray, dtype: DType, shape: tuple[int, ...]) -> np.ndarray:
    """The array of a list that may be short: its last element stands for the rest, none at all for zeros."""
    import numpy as np

    size = math.prod(shape)
    if not len(values):
        values = _objects([b""], (1,)) if dtype is STRING else np.zeros(1, dtype.numpy)
    if len(values) == 1:
        return np.broadcast_to(values.reshape(()), shape)
    if len(values) >= size:
        return values[:size].reshape(shape)
    array = np.full(size, values[-1], values.dtype)
    array[: len(values)] = values
    return array.reshape(shape)


def _objects(strings: list[bytes], shape: tuple[int, ...]) -> np.ndarray:
    import numpy as np

    array = np.empty(len(strings), object)
    array[:] = strings
    return array.reshape(shape)
