"""Tensors put back into the containers that they were in: what a writer of PyTorch checkpoints writes."""

from __future__ import annotations

from collections.abc import Mapping

from panmodel import dtypes
from panmodel.dtypes import DType
from panmodel.errors import UnsupportedError, listed
from panmodel.model.tensor import Tensor
from panmodel.model.torch.skeleton import Branch, Leaf, Node, Scalar, leaves
from panmodel.wire.pickle import Dictionary
from panmodel.wire.torch_records import Sizes
from panmodel.wire.torch_writing import (
    AnyTensor,
    MetaTensor,
    NestedTensor,
    PlainTensor,
    QuantizedTensor,
    SetOf,
    SparseTensor,
)

_SCHEMES = {"per_tensor_affine": 2, "per_channel_affine": 3, "per_channel_affine_float_qparams": 3}
_PARTS = {
    "sparse_coo": ("indices", "values"),
    "sparse_csr": ("crow_indices", "col_indices", "values"),
    "sparse_bsr": ("crow_indices", "col_indices", "values"),
    "sparse_csc": ("ccol_indices", "row_indices", "values"),
    "sparse_bsc": ("ccol_indices", "row_indices", "values"),
}


def placed(root: Node, tensors: Mapping[str, Tensor], where: str) -> object:
    """The value that a pickle of these containers has, tensors in their places.

    Args:
        root: The containers.
        tensors: All tensors to be written.
        where: The target, for messages.

    Raises:
        UnsupportedError: A tensor has no place in them, or is not of the kind that they say.
    """
    named = {leaf.name for leaf in leaves(root)}
    if lost := [name for name in tensors if name not in named]:
        shown = listed([name[:200] for name in lost], 10)
        raise UnsupportedError(f"tensors have no place in the structure that is to be written: {shown}", where=where)
    return _Placing(tensors, where).value(root)


class _Placing:
    def __init__(self, tensors: Mapping[str, Tensor], where: str) -> None:
        self._tensors, self._where = tensors, where

    def value(self, node: Node) -> object:
        if isinstance(node, Leaf):
            return self._plain(node)
        if not isinstance(node, Branch):
            return node
        if node.is_tensor:
            return self._composed(node)
        if node.is_mapping:
            items: dict[object, object] = {key: self.value(item) for key, item in node.items}
            return self._dictionary(node, items) if node.kind in ("OrderedDict", "Counter") else items
        listed = [self.value(item) for _, item in node.items]
        match node.kind:
            case "tuple":
                return tuple(listed)
            case "Size":
                return Sizes(listed)  # type: ignore[arg-type]
            case "set":
                return SetOf(tuple(listed))
        return listed

    @staticmethod
    def _dictionary(node: Branch, items: dict[object, object]) -> Dictionary:
        made = Dictionary(items, node.kind)
        if node.modules is not None:
            made.attributes["_metadata"] = Dictionary({name: dict(told) for name, told in node.modules.items()})
        return made

    def _plain(self, leaf: Leaf) -> PlainTensor:
        return PlainTensor(leaf.name, self._tensors[leaf.name], leaf.parameter, leaf.requires_grad)

    def _composed(self, node: Branch) -> AnyTensor:
        parts = {str(key): item for key, item in node.items}
        match node.kind:
            case "quantized":
                return self._quantized(parts)
            case "sparse":
                layout, coalesced = parts.get("layout"), parts.get("coalesced")
                pieces = self._parts(parts, _PARTS.get(str(layout), ()), node)
                return SparseTensor(str(layout), pieces, self._sizes(parts.get("size"), node), coalesced is True)
            case "nested":
                return NestedTensor(self._parts(parts, ("buffer", "sizes", "strides", "offsets"), node))
        dtype = parts.get("dtype")
        if not isinstance(dtype, str) or dtype not in dtypes.BY_TORCH:
            raise self._odd(node)
        return MetaTensor(dtype, self._sizes(parts.get("size"), node), self._sizes(parts.get("stride"), node))

    def _quantized(self, parts: Mapping[str, Node]) -> QuantizedTensor:
        data, dtype, scheme = parts.get("data"), parts.get("dtype"), parts.get("scheme")
        values = [self.value(parts.get(key)) for key in ("scale", "zero_point", "axis")]
        if not isinstance(data, Leaf) or not isinstance(dtype, str) or not isinstance(scheme, str):
            raise UnsupportedError("a quantized tensor is described in another form", where=self._where)
        count, integers = _SCHEMES.get(scheme), _integers(dtype)
        if count is None or any(value is None for value in values[:count]) or integers is None:
            message = f"tensor {data.name!r} is quantized in a way that is not written ({dtype[:40]}, {scheme[:40]})"
            raise UnsupportedError(message, where=self._where)
        stored = self._tensors[data.name].dtype
        if stored is not integers:
            message = f"tensor {data.name!r} is to be {dtype}, whose integers are {integers}, not {stored}"
            raise UnsupportedError(message, where=self._where)
        return QuantizedTensor(self._plain(data), dtype, scheme, tuple(values[:count]))

    def _parts(self, parts: Mapping[str, Node], names: tuple[str, ...], node: Branch) -> tuple[PlainTensor, ...]:
        found = [item for name in names if isinstance(item := parts.get(name), Leaf)]
        if not names or len(found) != len(names):
            raise self._odd(node)
        return tuple(map(self._plain, found))

    def _sizes(self, node: Node, whole: Branch) -> tuple[int, ...]:
        items: list[Node | Scalar] = [item for _, item in node.items] if isinstance(node, Branch) else [None]
        sizes = tuple(item for item in items if type(item) is int and item >= 0)
        if len(sizes) != len(items):
            raise self._odd(whole)
        return sizes

    def _odd(self, node: Branch) -> UnsupportedError:
        names = ", ".join(leaf.name[:200] for leaf in leaves(node))
        return UnsupportedError(f"a {node.kind} tensor is described in another form: {names}", where=self._where)


def _integers(name: str) -> DType | None:
    """The integers that a quantized type of torch stores; None of any other type."""
    dtype = dtypes.BY_TORCH.get(name)
    return None if dtype is None or dtype.stored is dtype or not dtype.torch_storage else dtype.stored
