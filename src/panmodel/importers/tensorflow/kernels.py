"""Element types that onnxruntime has kernels for, and the wider type to compute in where it has none.

ONNX allows more types than its runtimes implement: `Max` of int16 is valid and does not run. Such an operator is
computed in the next type that holds every value of the first exactly, between two casts. float16 needs none of it:
onnxruntime inserts its own casts there.

Source: https://github.com/microsoft/onnxruntime/blob/main/docs/OperatorKernels.md (CPUExecutionProvider)
"""

from __future__ import annotations

from collections.abc import Sequence

from panmodel.dtypes import ALL, DType
from panmodel.model.builder import Builder
from panmodel.model.graph import Attribute, Value

_BASIC = "float16 float32 float64 int32 int64"
_COMPARED = f"{_BASIC} int8 int16 uint8 uint16 uint32 uint64"
_REDUCED = f"{_BASIC} int8 uint8"

#: Operator → the types that it has a kernel for; an operator that is not here has one for every type that ONNX allows.
KERNELS: dict[str, frozenset[str]] = {
    op: frozenset(types.split())
    for ops, types in {
        "Max Min": f"{_BASIC} int8 uint8 uint32 uint64",
        "Pow ReduceSum ReduceMean ReduceProd CumSum": _BASIC,
        "ReduceMax ReduceMin ArgMax ArgMin": _REDUCED,
        "TopK": f"{_BASIC} int8 int16 uint8",
        "Equal": f"{_COMPARED} bool",
        "Less LessOrEqual Greater GreaterOrEqual": _COMPARED,
        "Where": f"{_BASIC} int8 uint8 uint32 string",
        "Pad": f"{_BASIC} int8 uint8 uint32 uint64 bool",
        "Range": "float32 float64 int16 int32 int64",
        "Tile": f"{_COMPARED} bool string",
        "Expand": f"{_COMPARED} bool string",
        "Add Sub Mul Div": _COMPARED,
    }.items()
    for op in ops.split()
}

#: Type → types that hold all of its values exactly, nearest first.
_WIDER = {
    "bool": "uint8 int32",
    "uint8": "int32 int64",
    "int8": "int32 int64",
    "uint16": "int32 int64",
    "int16": "int32 int64",
    "uint32": "int64 float64",
    "bfloat16": "float32",
    "float16": "float32",
}


def kernel_type(op: str, dtype: DType | None) -> DType | None:
    """The type to compute an operator in: its own, or the nearest wider one that there is a kernel for."""
    kernels = KERNELS.get(op)
    if dtype is None or kernels is None or dtype.name in kernels:
        return dtype
    for wider in _WIDER.get(dtype.name, "").split():
        if wider in kernels:
            return ALL[wider]
    return dtype


def converted(build: Builder, value: Value, dtype: DType | None) -> Value:
    """Cast, if the type is known and another."""
    return value if dtype is None else build.cast(value, dtype)


def widened(build: Builder, op: str, values: Sequence[Value]) -> list[Value]:
    """The operands of one type in the type that the operator is computed in."""
    return [converted(build, value, kernel_type(op, value.dtype)) for value in values]


def apply(build: Builder, op: str, *values: Value, **attributes: Attribute) -> Value:
    """An operator whose operands and result are all of one type, computed where there is a kernel."""
    return converted(build, build.op(op, *widened(build, op, values), **attributes), values[0].dtype)
