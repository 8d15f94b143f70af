"""Tensors in pickles: each function of torch that rebuilds one, as a constructor that makes an inert record.

Every view is held against its storage, every shape against its parts, before a record is made.

Source: torch/_utils.py, torch/_tensor.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from panmodel import dtypes
from panmodel.dtypes import DType
from panmodel.errors import LimitError
from panmodel.wire.pickle import Constructor, Global, describe
from panmodel.wire.torch_records import (
    ArrayRecord,
    ComposedRecord,
    MetaRecord,
    Quantizer,
    StorageBytes,
    StorageRecord,
    SubclassRecord,
    TensorRecord,
)
from panmodel.wire.torch_values import Making, are_counts, is_count

_CHANNELS = ("per_channel_affine", "per_channel_affine_float_qparams")
_LAYOUTS = {
    "sparse_csr": ("crow_indices", "col_indices"),
    "sparse_bsr": ("crow_indices", "col_indices"),
    "sparse_csc": ("ccol_indices", "row_indices"),
    "sparse_bsc": ("ccol_indices", "row_indices"),
}
#: Classes whose tensors are plain ones.
_PLAIN = {Global("torch", "Tensor"), Global("torch._tensor", "Tensor")}
_PARAMETERS = {Global("torch.nn.parameter", name) for name in ("Parameter", "Buffer")}


class Rebuilding(Making):
    """Constructors of tensors.

    Attributes:
        persistent: What the persistent ids of the pickle mean.
    """

    persistent: Callable[[object], object] | None = None

    def tensor(self, args: tuple[object, ...]) -> TensorRecord:
        """_rebuild_tensor(storage, offset, size, stride)."""
        if len(args) != 4:
            raise self.corrupt(f"a tensor is rebuilt from {len(args)} values, not 4")
        return self.view(args, None)

    def tensor_v2(self, args: tuple[object, ...]) -> TensorRecord:
        """_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata])."""
        if len(args) not in (6, 7):
            raise self.corrupt(f"a tensor is rebuilt from {len(args)} values, not 6 or 7")
        made = self._with_bits(self.view(args[:4], None), args[6] if len(args) == 7 else None)
        made.requires_grad = args[4] is True
        return made

    def tensor_v3(self, args: tuple[object, ...]) -> TensorRecord:
        """_rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype[, metadata])."""
        if len(args) not in (7, 8):
            raise self.corrupt(f"a tensor is rebuilt from {len(args)} values, not 7 or 8")
        made = self._with_bits(self._typed_view(args[:4], args[6]), args[7] if len(args) == 8 else None)
        made.requires_grad = args[4] is True
        return made

    def parameter(self, args: tuple[object, ...]) -> object:
        """Parameter(data[, requires_grad]), _rebuild_parameter(data, requires_grad, hooks[, state])."""
        if not 1 <= len(args) <= 4 or not isinstance(
            args[0], (TensorRecord, MetaRecord, ComposedRecord, SubclassRecord)
        ):
            raise self.corrupt("a parameter is rebuilt from something else than a tensor")
        data = args[0]
        if not isinstance(data, MetaRecord):
            data.parameter = True
        if isinstance(data, (TensorRecord, MetaRecord)):
            data.requires_grad = len(args) == 1 or args[1] is True
        if isinstance(data, (TensorRecord, SubclassRecord)) and len(args) == 4:
            data.state = args[3]
        return data

    def quantized(self, args: tuple[object, ...]) -> TensorRecord:
        """_rebuild_qtensor(storage, offset, size, stride, (scheme, scale, zero_point[, axis]), …)."""
        if len(args) != 7 or not isinstance(args[4], tuple) or not args[4] or not isinstance(args[4][0], Global):
            raise self.corrupt("a quantized tensor is rebuilt from other things than a view and a scheme")
        made, (scheme, *how) = self.view(args[:4], None), args[4]
        if scheme == Global("torch", "per_tensor_affine"):
            scale, zero_point = how if len(how) == 2 else (None, None)
            if not isinstance(scale, float) or type(zero_point) is not int:
                raise self.corrupt("a quantized tensor without a scale and a zero point")
            made.quantizer = Quantizer(scheme.name, scale, zero_point)
        elif scheme.module == "torch" and scheme.name in _CHANNELS and len(how) == 3:
            scales, zero_points, axis = how
            if not is_count(axis) or axis >= len(made.shape):
                raise self.corrupt(f"a quantized tensor of shape {made.shape} has {describe(axis)} as its axis")
            many = made.shape[axis]
            made.quantizer = Quantizer(scheme.name, self._row(scales, many), self._row(zero_points, many), axis)
        else:
            raise self.unsupported(f"a tensor quantized by {describe(scheme)} is not read")
        return made

    def _row(self, values: object, count: int) -> TensorRecord | list[object]:
        """One number for each channel."""
        if isinstance(values, TensorRecord) and values.shape == (count,):
            return values
        if isinstance(values, list) and len(values) == count and all(type(n) in (int, float) for n in values):
            return values
        raise self.corrupt(f"a quantized tensor needs {count} scales and zero points, one for each channel")

    def sparse(self, args: tuple[object, ...]) -> ComposedRecord:
        """_rebuild_sparse_tensor(layout, (indices, values, size[, is_coalesced]) or (pointers, …, values, size))."""
        layout, parts = args if len(args) == 2 else (None, None)
        layout = layout.name if isinstance(layout, Global) and layout.module == "torch" else layout
        if not isinstance(layout, str) or not isinstance(parts, tuple):
            raise self.corrupt("a sparse tensor is rebuilt from other things than a layout and its parts")
        if layout == "sparse_coo" and len(parts) in (3, 4):
            return self._coordinates(*parts)
        if layout in _LAYOUTS and len(parts) == 4:
            return self._compressed(layout, *parts)
        raise self.unsupported(f"a sparse tensor of layout {layout[:80]!r} in {len(parts)} parts is not read")

    def _coordinates(self, *parts: object) -> ComposedRecord:
        indices, values, shape = self._tensor(parts[0]), self._tensor(parts[1]), self._shape(parts[2])
        fits = len(indices.shape) == 2 and indices.dtype is dtypes.INT64 and bool(values.shape)
        sparse = indices.shape[0] if fits else 0
        if not fits or values.shape != (indices.shape[1], *shape[sparse:]) or sparse > len(shape):
            raise self.corrupt(
                f"a sparse tensor of shape {shape} has indices {indices.shape} and values {values.shape}"
            )
        said = bool(parts[3]) if parts[3:] and isinstance(parts[3], bool) else None
        return ComposedRecord("sparse_coo", values.dtype, shape, {"indices": indices, "values": values}, said)

    def _compressed(
        self, layout: str, pointers: object, plain: object, values: object, shape: object
    ) -> ComposedRecord:
        pointers, plain, values = self._tensor(pointers), self._tensor(plain), self._tensor(values)
        shape, batch = self._shape(shape), len(pointers.shape) - 1
        blocks = 2 if layout in ("sparse_bsr", "sparse_bsc") else 0
        fits = batch >= 0 and len(shape) >= batch + 2 and len(plain.shape) == batch + 1
        fits = fits and len(values.shape) == len(shape) - 1 + blocks
        fits = fits and pointers.shape[:batch] == plain.shape[:batch] == values.shape[:batch] == shape[:batch]
        fits = fits and plain.shape == values.shape[: batch + 1] and pointers.dtype is plain.dtype
        fits = fits and pointers.dtype in (dtypes.INT32, dtypes.INT64)
        if fits:
            block = values.shape[batch + 1 : batch + 1 + blocks] or (1, 1)
            axis = batch + (layout in ("sparse_csc", "sparse_bsc"))
            many = block[axis - batch]
            fits = many > 0 and pointers.shape[batch] == shape[axis] // many + 1 and shape[axis] % many == 0
            fits = fits and values.shape[batch + 1 + blocks :] == shape[batch + 2 :]
        if not fits:
            raise self.corrupt(f"the parts of a {layout} tensor of shape {shape} do not fit together")
        names = (*_LAYOUTS[layout], "values")
        return ComposedRecord(layout, values.dtype, shape, dict(zip(names, (pointers, plain, values), strict=True)))

    def nested(self, args: tuple[object, ...]) -> ComposedRecord:
        """_rebuild_nested_tensor(buffer, sizes, strides, storage_offsets)."""
        if len(args) != 4:
            raise self.corrupt(f"a nested tensor is rebuilt from {len(args)} values, not 4")
        buffer, sizes, strides, offsets = map(self._tensor, args)
        fits = len(buffer.shape) == 1 and sizes.shape == strides.shape and sizes.shape[:1] == offsets.shape
        if not fits or not all(tensor.dtype is dtypes.INT64 for tensor in (sizes, strides, offsets)):
            raise self.corrupt("the parts of a nested tensor do not fit together")
        parts = {"buffer": buffer, "sizes": sizes, "strides": strides, "offsets": offsets}
        return ComposedRecord("nested", buffer.dtype, None, parts)

    def without_storage(self, args: tuple[object, ...]) -> MetaRecord:
        """_rebuild_meta_tensor_no_storage(dtype, size, stride, requires_grad)."""
        if len(args) != 4 or not are_counts(args[2]) or not are_counts(args[1]) or len(args[1]) != len(args[2]):
            raise self.corrupt("a tensor without storage has no proper type, shape and strides")
        return MetaRecord(self._dtype(args[0]), self._shape(args[1]), args[2], args[3] is True)

    def wrapper(self, args: tuple[object, ...]) -> SubclassRecord:
        """_rebuild_wrapper_subclass(cls, dtype, size, stride, storage_offset, layout, device, requires_grad)."""
        if len(args) != 8 or not isinstance(args[0], Global):
            raise self.corrupt("a tensor of a subclass is rebuilt from other things than a class and a shape")
        return SubclassRecord(args[0], None, self._dtype(args[1]), self._shape(args[2]))

    def from_type(self, known: Mapping[Global, Constructor | None]) -> Constructor:
        """_rebuild_from_type_v2(function, type, args, state)."""

        def make(args: tuple[object, ...]) -> object:
            function, cls, parts, state = args if len(args) == 4 else (None,) * 4
            if not isinstance(function, Global) or not isinstance(cls, Global) or not isinstance(parts, tuple):
                raise self.corrupt("a tensor of a type is rebuilt from other things than a function, a type and values")
            rebuild = known.get(function)
            if rebuild is None:  # a function of the subclass itself
                self.passed.add(function)
                return SubclassRecord(cls, state=state, args=parts)
            inner = rebuild(parts)
            if isinstance(inner, SubclassRecord):
                inner.state = state
                return inner
            if isinstance(inner, TensorRecord) and cls in _PLAIN | _PARAMETERS:
                inner.state, inner.parameter = state, inner.parameter or cls.name == "Parameter"
                return inner
            if cls in _PLAIN | _PARAMETERS:
                return inner
            dtype, shape = getattr(inner, "dtype", None), getattr(inner, "shape", None)
            return SubclassRecord(cls, inner, dtype, shape, state)

        return make

    def from_array(self, args: tuple[object, ...]) -> TensorRecord:
        """_rebuild_device_tensor_from_numpy(data, dtype, device, requires_grad)."""
        data, kind, device, _ = args if len(args) == 4 else (None,) * 4
        if not isinstance(data, ArrayRecord) or not isinstance(device, str):
            raise self.corrupt("a tensor of a device is rebuilt from something else than an array")
        dtype = self._dtype(kind)
        if data.dtype is not dtype:
            raise self.unsupported(f"a tensor of {dtype} that was saved as an array of {data.code!r} is not read")
        content = StorageBytes(data.data.nbytes, data.data, data.big_endian)
        storage = StorageRecord("array", dtype, device, data.data.nbytes, content)
        strides, step = [0] * len(data.shape), 1
        for axis in range(len(data.shape)) if data.fortran else reversed(range(len(data.shape))):
            strides[axis], step = step, step * max(data.shape[axis], 1)
        return self.view((storage, 0, data.shape, tuple(strides)), None)

    def from_cpu(self, args: tuple[object, ...]) -> TensorRecord:
        """_rebuild_device_tensor_from_cpu_tensor(data, dtype, device, requires_grad)."""
        if len(args) != 4 or not isinstance(args[0], TensorRecord) or args[0].dtype is not self._dtype(args[1]):
            raise self.corrupt("a tensor of a device is rebuilt from something else than a tensor of its type")
        return args[0]

    def empty(self, dtype: DType) -> Constructor:
        """torch.FloatTensor(), which gets its view as its state: tensors of torch 0.1."""

        def make(args: tuple[object, ...]) -> TensorRecord:
            if args:
                raise self.corrupt(f"a tensor of torch 0.1 is made of {len(args)} values")
            return TensorRecord(StorageRecord("", dtype, "cpu", 0, StorageBytes(0)), dtype, 0, (0,), (1,))

        return make

    def set_state(self, tensor: TensorRecord, state: object) -> None:
        """What BUILD does to a tensor: Tensor.__setstate__ of all versions."""
        if isinstance(state, tuple) and len(state) == 4:  # (storage, offset, size, stride)
            made = self.view(state, None)
            tensor.storage, tensor.dtype, tensor.offset = made.storage, made.dtype, made.offset
            tensor.shape, tensor.strides = made.shape, made.strides
        elif isinstance(state, tuple) and len(state) == 5 and isinstance(state[0], TensorRecord):
            data = state[0]  # a Variable: (data, _, hooks, requires_grad, _)
            tensor.storage, tensor.dtype, tensor.offset = data.storage, data.dtype, data.offset
            tensor.shape, tensor.strides, tensor.requires_grad = data.shape, data.strides, state[3] is True
        elif isinstance(state, tuple) and len(state) == 3:  # (requires_grad, _, hooks)
            tensor.requires_grad = state[0] is True
        elif isinstance(state, dict):
            tensor.state = state
        else:
            raise self.corrupt(f"{describe(state)} as state of a tensor")

    # The parts.

    def view(self, args: tuple[object, ...], dtype: DType | None) -> TensorRecord:
        """The view (storage, offset, size, stride), found to lie inside the storage."""
        storage, offset, shape, strides = args
        if isinstance(storage, tuple) and self.persistent:  # its identity in its place, as other writers have it
            storage = self.persistent(storage)
        if not isinstance(storage, StorageRecord):
            raise self.corrupt(f"a tensor's storage is {describe(storage)}")
        dtype = dtype or storage.dtype or dtypes.UINT8
        if not is_count(offset) or not are_counts(strides) or not are_counts(shape) or len(shape) != len(strides):
            raise self.corrupt(f"a view of storage {storage.key[:80]!r} has no proper offset, shape and strides")
        self._shape(shape)
        if dtype.nbytes(math.prod(max(extent, 1) for extent in shape)) >= 1 << 63:
            raise self.corrupt(f"a tensor of shape {shape} is larger than can be addressed")
        view = TensorRecord(storage, dtype, offset, shape, strides)
        if view.span and dtype.nbytes(offset + view.span) > storage.nbytes:
            there = storage.nbytes * 8 // dtype.bits
            raise self.corrupt(f"a tensor reaches beyond the {there} elements of its storage {storage.key[:80]!r}")
        return view

    def _typed_view(self, args: tuple[object, ...], kind: object) -> TensorRecord:
        """A view of elements of another type than the storage says; bytes of several elements are taken apart."""
        packed = dtypes.TORCH_PACKED.get(kind.name) if isinstance(kind, Global) and kind.module == "torch" else None
        if packed is None:
            return self.view(args, self._dtype(kind))
        view, each = self.view(args, dtypes.UINT8), 8 // packed.bits
        if not view.shape or (view.shape[-1] > 1 and view.strides[-1] != 1):
            raise self.unsupported(f"a tensor of {describe(kind)} whose last dimension is not in one row is not read")
        shape = (*view.shape[:-1], view.shape[-1] * each)
        strides = (*(stride * each for stride in view.strides[:-1]), 1)
        return TensorRecord(view.storage, packed, view.offset * each, shape, strides)

    def _with_bits(self, view: TensorRecord, metadata: object) -> TensorRecord:
        if metadata is None:
            return view
        if not isinstance(metadata, dict) or not set(metadata) <= {"conj", "neg"}:
            raise self.unsupported("a tensor has metadata other than conj and neg")
        view.conjugated, view.negated = bool(metadata.get("conj")), bool(metadata.get("neg"))
        return view

    def _tensor(self, value: object) -> TensorRecord:
        if not isinstance(value, TensorRecord):
            raise self.corrupt(f"a tensor is composed of {describe(value)}")
        return value

    def _shape(self, value: object) -> tuple[int, ...]:
        if not are_counts(value):
            raise self.corrupt("a tensor has no proper shape")
        if len(value) > self.limits.rank:
            raise LimitError(f"a tensor with {len(value)} dimensions", where=self.where)
        return value

    def _dtype(self, kind: object) -> DType:
        if not isinstance(kind, Global) or kind.module != "torch":
            raise self.corrupt(f"{describe(kind)} as element type of a tensor")
        if kind.name not in dtypes.BY_TORCH:
            raise self.unsupported(f"element type {describe(kind)} is not read")
        return dtypes.BY_TORCH[kind.name]


#: The rebuild functions of torch._utils by name.
FUNCTIONS: Mapping[str, Callable[[Rebuilding, tuple[object, ...]], object]] = {
    "_rebuild_tensor": Rebuilding.tensor,
    "_rebuild_tensor_v2": Rebuilding.tensor_v2,
    "_rebuild_tensor_v3": Rebuilding.tensor_v3,
    "_rebuild_parameter": Rebuilding.parameter,
    "_rebuild_parameter_with_state": Rebuilding.parameter,
    "_rebuild_qtensor": Rebuilding.quantized,
    "_rebuild_sparse_tensor": Rebuilding.sparse,
    "_rebuild_nested_tensor": Rebuilding.nested,
    "_rebuild_meta_tensor_no_storage": Rebuilding.without_storage,
    "_rebuild_wrapper_subclass": Rebuilding.wrapper,
    "_rebuild_device_tensor_from_numpy": Rebuilding.from_array,
    "_rebuild_device_tensor_from_cpu_tensor": Rebuilding.from_cpu,
    "_rebuild_xla_tensor": Rebuilding.from_array,
}
