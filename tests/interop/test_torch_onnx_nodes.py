"""ONNX's own tests of its operators, through PyTorch source, at every opset that they are written for.

Each is run twice: as it is, and with all inputs but the first as constants, which is how they stand in real graphs.
"""

import warnings
from collections import defaultdict
from functools import cache

import numpy as np
import onnx
import pytest

from panmodel.errors import UnsupportedError
from panmodel.exporters.torch import export
from panmodel.exporters.torch.registry import handlers
from panmodel.formats import read
from panmodel.model.builder import Builder
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor
from panmodel.runtimes import torch as runtime

#: Reasons to refuse that are true of PyTorch, or of what is not written yet; anything else is a failure.
REFUSALS = (
    "AveragePool with dilation",
    "training mode",
    "is always active",
    "does not compute with uint64",
    "no tensors of strings",
    "as further outputs",
    "indices of MaxPool",
    "computed at run time",
    "is no tensor",
    "PyTorch has no element type",
    "Resize",
    "Upsample",
    "ScatterND with",
    "no converter for this operator",
    "number of bounds is not known",
    "rank of its operand is not known",
    "complex",
    "over 0 spatial axes",
    "whose rounding or overflow",
)


@cache
def cases():
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = defaultdict(list)
        known = set(handlers())
        for case in collect_testcases(None):
            operators = [node.op_type for node in case.model.graph.node] if case.model else []
            if operators and set(operators) <= known and not case.name.startswith("test_attention"):
                found[operators[0]].append(case)
    return found


def array(value):
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def typed(graph, arrays, *, constants):
    """The graph with all types inferred, and all inputs but the first as constants if they are wanted so."""
    build, values = Builder(opset=graph.opset), {}
    fed = []
    for index, (value, elements) in enumerate(zip(graph.inputs, arrays, strict=True)):
        if index and constants:
            is_weight = elements.dtype.kind == "f"
            values[value] = build.weight(ArrayTensor(elements, value.name)) if is_weight else build.constant(elements)
        else:
            values[value] = build.input(value.name, value.dtype, value.shape)
            fed.append(elements)
    for node in graph.nodes:
        operands = [None if value is None else values.get(value, value) for value in node.inputs]
        values.update(zip(node.outputs, build.add(node, operands, node.attributes), strict=True))
    for name, value in graph.outputs.items():
        build.output(name, values.get(value, value))
    return build.graph(), fed


def run(case, path, *, constants):
    onnx.save(case.model, path)
    inputs, wanted = ([array(value) for value in values] for values in case.data_sets[0])
    graph, fed = typed(read(path).program, inputs, constants=constants)
    made = export(Model("onnx", graph)).program
    found, _ = runtime.run(runtime.build(made), fed)
    for want, got in zip(wanted, found, strict=True):
        assert got.shape == want.shape
        assert got.dtype == want.dtype
        wide = np.float64 if want.dtype.kind in "fV" else want.dtype
        np.testing.assert_allclose(
            got.astype(wide), want.astype(wide), rtol=max(case.rtol, 1e-3), atol=max(case.atol, 1e-5)
        )


@pytest.mark.parametrize("constants", [False, True], ids=["inputs", "constants"])
@pytest.mark.parametrize("op", sorted(handlers()))
def test_computes_what_onnx_says(op, constants, tmp_path):
    failed, passed = {}, 0
    for case in cases()[op]:
        try:
            run(case, tmp_path / "case.onnx", constants=constants)
            passed += 1
        except UnsupportedError as error:
            if not any(reason in str(error) for reason in REFUSALS):
                failed[case.name] = str(error)
        except Exception as error:
            failed[case.name] = f"{type(error).__name__}: {str(error)[:300]}"
    assert failed == {}
    if not passed:
        pytest.skip("no test of ONNX that this way can take")
