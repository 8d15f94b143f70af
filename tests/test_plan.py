"""The shortest way between two dialects."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.tensorflow_graphs import Shape, const, graph, node

from panmodel.dtypes import FLOAT32
from panmodel.errors import UnsupportedError, UsageError
from panmodel.formats import by_name, read, registry
from panmodel.model.builder import Builder
from panmodel.model.format import Holds
from panmodel.model.graph import Graph
from panmodel.model.model import Model
from panmodel.model.notice import Assumed
from panmodel.model.tensor import ArrayTensor
from panmodel.model.tensorflow.graph import TensorFlowGraph
from panmodel.model.torch.source import TorchSource
from panmodel.plan import Plan, Request, Step, plan

CHECKPOINT = Path(__file__).parents[1] / "examples" / "digits" / "model.ckpt"
NOTHING = Request()


class Foreign:
    """A graph in a dialect that nothing converts."""

    dialect = "foreign"


def tensorflow():
    return Model("tensorflow_graph", graph(
        node("x", "Placeholder", dtype=FLOAT32, shape=Shape([2])),
        const("two", 2.0, np.float32),
        node("y", "Mul", "x", "two", T=FLOAT32),
        node("z", "Neg", "y", T=FLOAT32),
    ))  # fmt: skip


def onnx():
    build = Builder()
    y = build.op("Mul", build.input("x", FLOAT32, (2,)), build.weight(ArrayTensor(np.float32([2, 3]), "w")))
    build.rename(y, "y")
    build.output("z", build.op("Neg", y))
    return Model("onnx", build.graph(), tensors={"w": ArrayTensor(np.float32([2, 3]), "w")})


def weights():
    return Model("safetensors", tensors={"w": ArrayTensor(np.float32([2, 3]), "w")}, source="w.safetensors")


WAYS = [
    (tensorflow, "onnx", ["import TensorFlow"]),
    (tensorflow, "torch_source", ["import TensorFlow", "export PyTorch"]),
    (tensorflow, "tensorflow_graph", ["freeze"]),
    (onnx, "torch_source", ["export PyTorch"]),
    (tensorflow, "safetensors", []),
    (onnx, "safetensors", []),
    (weights, "safetensors", []),
]


@pytest.mark.parametrize(("source", "target", "titles"), WAYS)
def test_ways(source, target, titles):
    found = plan(source(), by_name(target), NOTHING)
    assert [step.title for step in found.steps] == titles
    assert found.keeps_graph == bool(titles)


@pytest.mark.parametrize(("request_", "titles"), [(NOTHING, []), (Request(outputs=["y"]), ["cut"])])
def test_a_graph_is_cut_where_that_is_asked_for(request_, titles):
    found = plan(onnx(), by_name("onnx"), request_)
    assert [step.title for step in found.steps] == titles and found.keeps_graph
    assert list(found.run(onnx()).program.outputs) == (["y"] if titles else ["z"])


def test_steps_join():
    """Whatever the table holds, a way leads from the dialect of the source to that of the target, step by step."""
    for source in (tensorflow(), onnx()):
        for record in registry().values():
            if record.write is None or record.target_dialect is None:
                continue
            try:
                steps = plan(source, record, NOTHING).steps
            except UnsupportedError:
                continue
            at = source.dialect
            for step in steps:
                assert step.source == at
                at = step.target
            assert at == record.target_dialect


@pytest.mark.parametrize("target", ["onnx", "torch_source", "tensorflow_graph"])
def test_weights_alone_do_not_become_a_graph(target):
    able = r"weights alone can become .*\.npz, .* or \..*"
    with pytest.raises(UnsupportedError, match=rf"w\.safetensors.*without a graph, {target} needs one\n.*hint: {able}"):
        plan(weights(), by_name(target), NOTHING)
    with pytest.raises(
        UnsupportedError, match=f"without its graph, {target} needs.*\n.*leave out --weights-only, or {able}"
    ):
        plan(tensorflow(), by_name(target), NOTHING, weights_only=True)


@pytest.mark.parametrize(("source", "target"), [(onnx, "tensorflow_graph"), (lambda: Model("odd", Foreign()), "onnx")])
def test_where_there_is_no_way(source, target):
    with pytest.raises(UnsupportedError, match=f"no way from .* to {target} yet"):
        plan(source(), by_name(target), NOTHING)


@pytest.mark.parametrize("request_", [Request(outputs=["y:0"]), Request(inputs=["x:0"]), Request(inputs=[])])
def test_weights_are_not_cut(request_):
    for source in (weights(), tensorflow()):
        with pytest.raises(UsageError, match="where to cut a graph"):
            plan(source, by_name("safetensors"), request_)


def test_a_plan_without_the_graph_leaves_the_model_alone():
    model = tensorflow()
    model.notices.append(Assumed("something"))
    result = plan(model, by_name("safetensors"), NOTHING).run(model)
    assert result.program is None and isinstance(model.program, TensorFlowGraph)
    result.notices.append(Assumed("more"))
    assert len(model.notices) == 1


def test_steps_run_in_order_with_what_the_user_asks():
    said = []

    def step(title):
        def run(model, request):
            said.append((title, request.outputs))
            return replace(model, format=title)

        return Step("a", "b", title, run)

    result = Plan((step("first"), step("second")), Request(outputs=["y"])).run(Model("given"))
    assert said == [("first", ["y"]), ("second", ["y"])] and result.format == "second"


def run(model, target, **asked):
    request = Request(**asked)
    return plan(model, by_name(target), request).run(model)


def test_to_the_hub_and_cut_there():
    result = run(tensorflow(), "onnx", outputs=["y:0"])
    assert isinstance(result.program, Graph)
    assert list(result.program.outputs) == ["y:0"] and result.program.operators() == {"Mul": 1}


def test_within_onnx():
    model = onnx()
    assert run(model, "onnx").program is model.program
    found = run(model, "onnx", outputs=["y"]).program
    assert list(found.outputs) == ["y"] and found.operators() == {"Mul": 1}
    assert list(model.program.outputs) == ["z"]


def test_within_tensorflow():
    result = run(read(CHECKPOINT), "tensorflow_graph", outputs=["logits:0"])
    assert isinstance(result.program, TensorFlowGraph)
    ops = {node.op for node in result.program.nodes.values()}
    assert not ops & {"VariableV2", "VarHandleOp", "SaveV2", "RestoreV2"} and "Const" in ops
    assert "probabilities" not in result.program.nodes


@pytest.mark.parametrize("source", [tensorflow, onnx])
def test_to_torch(source):
    result = run(source(), "torch_source", weights="net.weights")
    assert isinstance(result.program, TorchSource)
    assert result.program.names["permutes"] == 0


def test_every_format_that_keeps_graphs_can_be_a_target():
    assert {"onnx", "torch_source", "tensorflow_graph"} <= {
        name for name, record in registry().items() if record.write and record.keeps & Holds.GRAPH
    }
