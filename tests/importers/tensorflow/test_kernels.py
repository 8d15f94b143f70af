import onnx
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_opkernel_def

from panmodel import dtypes
from panmodel.importers.tensorflow.kernels import KERNELS, apply, kernel_type
from panmodel.model.builder import Builder
from panmodel.model.graph import OPSET

SPELLED = {"float": "float32", "double": "float64"}


def constrained(op):
    """What onnx calls the type of an operator's elements."""
    schema = onnx.defs.get_schema(op, OPSET)
    return schema.inputs[1 if op == "Where" else 0].type_str, schema


@pytest.mark.parametrize("op", KERNELS)
def test_kernels_are_those_of_onnxruntime(op):
    letter, schema = constrained(op)
    allowed = {
        kind for rule in schema.type_constraints if rule.type_param_str == letter for kind in rule.allowed_type_strs
    }
    found = set()
    for kernel in get_all_opkernel_def():
        first, last = kernel.version_range
        here = kernel.provider == "CPUExecutionProvider" and kernel.domain == "" and kernel.op_name == op
        if here and first <= OPSET <= last:
            found |= set(kernel.type_constraints[letter])
    names = {SPELLED.get(kind[7:-1], kind[7:-1]) for kind in map(str, found & allowed) if kind.startswith("tensor(")}
    assert KERNELS[op] - {"float16"} <= names
    assert {name for name in names if name in dtypes.ALL} - {"bfloat16"} <= KERNELS[op]


def test_the_nearest_type_with_a_kernel():
    assert kernel_type("Max", dtypes.INT16) is dtypes.INT32
    assert kernel_type("Max", dtypes.INT8) is dtypes.INT8
    assert kernel_type("Max", dtypes.UINT16) is dtypes.INT32
    assert kernel_type("ReduceMax", dtypes.UINT32) is dtypes.INT64
    assert kernel_type("Where", dtypes.BOOL) is dtypes.UINT8
    assert kernel_type("ReduceMax", dtypes.UINT64) is dtypes.UINT64  # nothing holds it exactly
    assert kernel_type("Concat", dtypes.BFLOAT16) is dtypes.BFLOAT16
    assert kernel_type("Max", None) is None


def test_casts_stand_around_the_operator():
    build = Builder()
    x = build.input("x", dtypes.INT16, (2,))
    result = apply(build, "Max", x, x)
    assert result.dtype is dtypes.INT16
    assert [node.op for node in build.nodes] == ["Cast", "Cast", "Max", "Cast"]
