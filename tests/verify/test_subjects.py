"""What can be run and compared, and which arrays of two sides belong together."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.tensorflow_graphs import Shape, const, graph, node

from panmodel.dtypes import ALL, FLOAT32
from panmodel.errors import UnsupportedError, UsageError
from panmodel.exporters.torch import export
from panmodel.model.builder import Builder
from panmodel.model.graph import Graph, Node, Value
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor
from panmodel.runtimes import tensorflow
from panmodel.verify.subjects import OnnxSubject, Recorded, Subject, TorchSubject, subject

ONE, TWO, THREE = (np.float32([number]) for number in (1, 2, 3))


def side(inputs=(), outputs=()):
    """A subject that is never run."""
    made = Subject()
    made.label = "side"
    made.inputs, made.output_names = [Value(name, FLOAT32, (1,)) for name in inputs], outputs
    return made


def recorded(**arrays):
    return Recorded(Path("answers.npz"), {name.replace("_", ":"): array for name, array in arrays.items()})


# Inputs


def test_arrays_come_by_name_with_or_without_the_port():
    two = side(["a:0", "b"])
    assert two.feeds({"b:0": TWO, "a": ONE, "other": THREE}) == {"a:0": ONE, "b": TWO}
    assert two.feeds({"a:0": ONE, "b": TWO}) == {"a:0": ONE, "b": TWO}


def test_another_port_is_another_tensor():
    with pytest.raises(UsageError, match="'a:1'"):
        side(["a:1", "b"]).feeds({"a": ONE, "b": TWO})


def test_the_only_array_is_for_the_only_input():
    assert side(["a:0"]).feeds({"anything": ONE}) == {"a:0": ONE}


@pytest.mark.parametrize(
    "array", [np.ones((2, 3, 1), np.float32), np.ones(6), np.ones((2, 4), np.float32), np.ones((2, 3), np.complex64)]
)
def test_an_array_that_does_not_fit_is_refused_in_words(array):
    one = side(["a:0"])
    one.inputs = [Value("a:0", FLOAT32, ("batch", 3))]
    with pytest.raises(UsageError, match=r"'a:0' takes float32\[batch, 3\], not (float|complex)"):
        one.feeds({"a": array})
    fits = np.ones((2, 3), np.float32)
    assert one.feeds({"a": fits})["a:0"] is fits


@pytest.mark.parametrize(
    ("kind", "given"),
    [(FLOAT32, "f8"), (FLOAT32, ">f4"), (FLOAT32, "i4"), (ALL["bfloat16"], "f4"), (ALL["int32"], "i8")],
)
def test_arrays_come_to_the_type_of_the_input(kind, given):
    one = side(["a:0"])
    one.inputs = [Value("a:0", kind, None)]
    found = one.feeds({"a": np.array([1, 2], given)})["a:0"]
    assert found.dtype == kind.numpy and found.tolist() == [1, 2]
    assert one.feeds({"a": [1, 2]})["a:0"].dtype == kind.numpy


def test_a_missing_array_is_named():
    with pytest.raises(UsageError, match=r"'b'.*\n.*'a', 'c'.*--input"):
        side(["a", "b"]).feeds({"a": ONE, "c": TWO})
    with pytest.raises(UsageError, match="there are none"):
        side(["a"]).feeds({})


def test_the_other_side_is_fed_by_name_or_else_by_place():
    feeds = {"a:0": ONE, "b:0": TWO}
    assert side(["b", "a"]).positioned(feeds, side()) == {"b": TWO, "a": ONE}
    assert side(["p", "q"]).positioned(feeds, side()) == {"p": ONE, "q": TWO}
    assert side(["a", "q"]).positioned(feeds, side()) == {"a": ONE, "q": TWO}
    assert side().positioned(feeds, side()) == {}
    with pytest.raises(UsageError, match=r"side takes 3 inputs, side 2 \(a:0, b:0\)"):
        side(["p", "q", "r"]).positioned(feeds, side())


# Outputs


def test_outputs_are_paired_by_name_or_else_by_place():
    def pair(mine, theirs):
        return [(name, a.item(), b.item()) for name, a, b in side().paired(mine, side(), theirs)]

    assert pair({"y:0": ONE, "z": TWO}, {"z:0": THREE, "y": TWO}) == [("y:0", 1, 2), ("z", 2, 3)]
    assert pair({"y": ONE, "z": TWO}, {"z": THREE}) == [("z", 2, 3)]
    assert pair({"y": ONE, "z": TWO}, {"p": THREE, "q": ONE}) == [("y", 1, 3), ("z", 2, 1)]
    with pytest.raises(UsageError, match="no output in common: y of side, p, q of side"):
        pair({"y": ONE}, {"p": TWO, "q": THREE})


def test_what_was_fed_is_no_answer():
    answers = recorded(x_0=ONE, y=TWO, z_0=THREE)
    assert answers.run({"x": ONE}, layers=False).outputs == {"y": TWO, "z:0": THREE}
    assert answers.run({}, layers=True).outputs.keys() == {"x:0", "y", "z:0"}
    assert answers.label == "recorded in answers.npz" and not answers.inputs


# Models that run


def hub():
    build = Builder()
    x = build.input("x", FLOAT32, (2,))
    with build.at("double"):
        y = build.op("Mul", x, build.weight(ArrayTensor(np.float32([2, 2]), "w")))
        build.rename(y, "double:0")
    with build.at("negative"):
        z = build.op("Neg", y)
        build.rename(z, "z")
    build.output("z", z)
    return build.graph()


FEED = np.float32([1, 2])


def test_a_hub_graph_runs_on_onnxruntime():
    found = subject(Model("onnx", hub()))
    assert isinstance(found, OnnxSubject) and found.label.startswith("onnxruntime ")
    assert [value.name for value in found.inputs] == ["x"] and found.output_names == ("z",)
    results = found.run({"x": FEED}, layers=False)
    assert results.outputs["z"].tolist() == [-2, -4] and results.layers == {}


def test_layers_come_in_the_order_of_computation():
    results = OnnxSubject(hub()).run({"x": FEED}, layers=True)
    assert list(results.layers) == ["double:0", "z"] and list(results.outputs) == ["z"]
    assert results.layers["double:0"].tolist() == [2, 4]


def test_an_input_left_open_has_the_shape_that_the_graph_needs():
    build = Builder()
    x = build.input("x", FLOAT32, None)
    build.output("y", build.op("MatMul", x, build.weight(ArrayTensor(np.ones((3, 2), np.float32), "w"))))
    (value,) = OnnxSubject(build.graph()).inputs
    assert len(value.shape) == 2 and value.shape[1] == 3


def test_operators_of_other_domains_are_not_run():
    x, y = Value("x", FLOAT32, (1,)), Value("y", FLOAT32, (1,))
    y.node = Node("Odd", (x,), (y,), {}, "odd", "com.example")
    with pytest.raises(UnsupportedError, match=r"com\.example\.Odd"):
        subject(Model("onnx", Graph([x], {"y": y}, [y.node])))


def test_generated_source_runs_on_torch():
    pytest.importorskip("torch")
    build = Builder()
    x, weight = build.input("x", FLOAT32, (1, 2)), np.float32([[1, 2], [3, 4], [5, 6]])
    with build.at("dense"):
        y = build.op("Gemm", x, build.weight(ArrayTensor(weight, "dense/w")), transB=1)
        build.rename(y, "dense:0")
    build.output("z", build.op("Neg", y))
    found = subject(export(Model("onnx", build.graph())))
    assert isinstance(found, TorchSubject) and found.label.startswith("PyTorch ")
    assert [value.name for value in found.inputs] == ["x"] and found.output_names == ("z",)
    results = found.run({"x": FEED[None]}, layers=True)
    assert results.outputs["z"].tolist() == [[-5, -11, -17]]
    assert results.layers["dense:0"].tolist() == [[5, 11, 17]]
    assert found.run({"x": FEED[None]}, layers=False).layers == {}


def test_weights_alone_are_not_run():
    with pytest.raises(UnsupportedError, match=r"a\.safetensors.*weights alone"):
        subject(Model("safetensors", source="a.safetensors"))


def test_recorded_answers_are_a_subject_already():
    answers = recorded(y=ONE)
    assert subject(answers) is answers


# TensorFlow graphs, cut where the other side begins and ends


def foreign():
    return Model("tensorflow_graph", graph(
        node("x", "Placeholder", dtype=FLOAT32, shape=Shape([2])),
        const("two", 2.0, np.float32),
        node("y", "Mul", "x", "two", T=FLOAT32),
        node("z", "Neg", "y", T=FLOAT32),
    ))  # fmt: skip


@pytest.fixture
def without_tensorflow(monkeypatch):
    monkeypatch.setattr(tensorflow, "is_installed", lambda: False)


@pytest.mark.parametrize(
    ("other", "inputs", "outputs"),
    [
        (None, ["x:0"], ["z:0"]),
        (side(["x:0"], ["y:0"]), ["x:0"], ["y:0"]),
        (side(["y"], ["z"]), ["y:0"], ["z:0"]),
        (side(["p"], ["q"]), ["x:0"], ["z:0"]),
        (recorded(x_0=FEED, y_0=FEED), ["x:0"], ["y:0"]),
        (recorded(y=FEED), ["x:0"], ["y:0"]),
        (recorded(q=FEED), ["x:0"], ["z:0"]),
    ],
)
def test_where_it_is_cut(without_tensorflow, other, inputs, outputs):
    found = subject(foreign(), other)
    assert [value.name.removesuffix(":0") for value in found.inputs] == [name.removesuffix(":0") for name in inputs]
    assert [name.removesuffix(":0") for name in found.output_names] == [name.removesuffix(":0") for name in outputs]


def test_without_tensorflow_the_import_runs_as_it_is(without_tensorflow):
    found = subject(foreign())
    assert "unoptimised import" in found.label
    (feed,) = (value.name for value in found.inputs)
    (result,) = found.run({feed: FEED}, layers=False).outputs.values()
    assert result.tolist() == [-2, -4]


def test_tensorflow_runs_it_where_it_is_installed():
    pytest.importorskip("tensorflow")
    found = subject(foreign())
    assert found.label.startswith("tensorflow ")
    results = found.run({found.inputs[0].name: FEED}, layers=True)
    assert [array.tolist() for array in results.outputs.values()] == [[-2, -4]]
    assert results.layers["y:0"].tolist() == [2, 4]


def test_running_imports_no_framework_here():
    """Native code that meets a foreign graph runs in a child, whatever becomes of it."""
    code = (
        "import sys; from tests.verify import test_subjects as t; "
        "t.OnnxSubject(t.hub()).run({'x': t.FEED}, layers=False); "
        "print([name for name in ('onnxruntime', 'torch', 'tensorflow') if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"
