"""Tensors that are made of several, quantized, sparse and nested ones, as branches of a skeleton.

Source: torch/_utils.py (`_rebuild_qtensor`, `_rebuild_sparse_tensor`, `_rebuild_nested_tensor`)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from panmodel.model.torch.skeleton import Branch, Key, Leaf, Node
from panmodel.wire.torch_records import ComposedRecord, TensorRecord


def stored_integers(record: TensorRecord) -> TensorRecord:
    """The integers of a quantized tensor as a tensor by themselves, which every format can hold; any other as it is."""
    return dataclasses.replace(record, dtype=record.dtype.stored, quantizer=None)


def quantized_branch(record: TensorRecord, data: Leaf, part: Callable[[object, str], Node]) -> Branch:
    """A quantized tensor.

    Args:
        record: The tensor, which has a quantizer.
        data: The place of its integers.
        part: Makes a node of a scale, a zero point or an axis: what it is, and its key in the branch.
    """
    quantizer = record.quantizer
    assert quantizer is not None
    items: list[tuple[Key, Node]] = [("data", data), ("dtype", record.dtype.name), ("scheme", quantizer.scheme)]
    parts = (("scale", quantizer.scale), ("zero_point", quantizer.zero_point), ("axis", quantizer.axis))
    items += [(key, part(value, key)) for key, value in parts]
    return Branch("quantized", tuple(items))


def composed_branch(record: ComposedRecord, component: Callable[[TensorRecord, str], Node]) -> Branch:
    """A sparse or nested tensor.

    Args:
        record: The tensor.
        component: Makes a node of one of the tensors that it is made of, and of its key in the branch.
    """
    size = None if record.shape is None else Branch("tuple", tuple(enumerate(record.shape)))
    items: list[tuple[Key, Node]] = [("layout", record.layout), ("size", size), ("coalesced", record.coalesced)]
    items += [(key, component(part, key)) for key, part in record.components.items()]
    return Branch("nested" if record.layout == "nested" else "sparse", tuple(items))
