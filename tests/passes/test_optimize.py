import numpy as np
import pytest
from tests.damage import assert_survives
from tests.passes.running import assert_same, positive, weight

from panmodel import dtypes
from panmodel.errors import CorruptError
from panmodel.formats.onnx import FORMAT, write
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.builder import Builder
from panmodel.model.graph import Graph, Node, Value
from panmodel.model.model import Model
from panmodel.model.symbolic import Dim
from panmodel.passes import layout, optimize

N, H, W = (Dim.symbol(name) for name in "nhw")


def classifier(channels=3, *, opset=18):
    """A small network as it comes from a channels-last framework, with everything written out."""
    build = Builder(opset=opset)
    x = build.input("image", dtypes.FLOAT32, (N, 8, 8, channels))
    for number in (1, 2):
        with build.at(f"conv{number}"):
            kernel = weight(build, f"conv{number}/kernel", 4, x.shape[3], 3, 3)
            x = build.channels_last(build.op("Conv", build.channels_first(x), kernel, pads=(1, 1, 1, 1)))
            x = build.op("Add", x, weight(build, f"conv{number}/bias", 4))
        with build.at(f"norm{number}"):
            names = [f"norm{number}/{name}" for name in ("gamma", "beta", "mean", "variance")]
            root = build.op("Sqrt", build.op("Add", positive(build, names[3], 4), build.constant(0.001)))
            scale = build.op("Mul", build.op("Reciprocal", root), weight(build, names[0], 4))
            shift = build.op("Sub", weight(build, names[1], 4), build.op("Mul", weight(build, names[2], 4), scale))
            x = build.op(
                "Min", build.op("Relu", build.op("Add", build.op("Mul", x, scale), shift)), build.constant(6.0)
            )
    with build.at("dense"):
        flat = build.reshape(x, (N, 256))
        y = build.op(
            "Add", build.op("MatMul", flat, weight(build, "dense/kernel", 256, 5)), weight(build, "dense/bias", 5)
        )
    build.output("scores", build.op("Softmax", y, axis=-1))
    build.output("class", build.op("ArgMax", y, axis=-1, keepdims=0))
    return build.graph()


@pytest.mark.parametrize(("channels", "transposes"), [(3, 1), (1, 0)])
def test_a_whole_network(channels, transposes):
    before = classifier(channels)
    after = optimize(before)
    assert_same(before, after)
    assert layout.permutes(after) == transposes
    left = after.operators()
    assert {name: left[name] for name in ("Conv", "BatchNormalization", "Clip", "Gemm")} == {
        "Conv": 2, "BatchNormalization": 2, "Clip": 2, "Gemm": 1,
    }  # fmt: skip
    assert "Add" not in left and "Mul" not in left and "MatMul" not in left
    weights = {value.name for value in before.initializers() if not value.literal}
    assert {value.name for value in after.initializers() if not value.literal} == weights


def test_every_weight_is_its_variable_or_a_view_of_it():
    before = classifier()
    stored = {value.tensor.name: value.tensor for value in before.initializers()}
    for value in optimize(before).initializers():
        if not value.literal:
            assert value.tensor.base is stored[value.tensor.name].base


def test_twice_is_as_good_as_once():
    once = optimize(classifier())
    twice = optimize(once)
    assert twice.operators() == once.operators()


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 20])
def test_every_opset(opset):
    build = Builder(opset=opset)
    x = build.input("x", dtypes.FLOAT32, (2, 6, 6, 3))
    y = build.channels_last(build.op("Conv", build.channels_first(x), weight(build, "k", 4, 3, 3, 3)))
    y = build.op("Add", y, weight(build, "b", 4))
    y = build.op("Mul", y, build.op("Sigmoid", y))
    build.output("y", build.op("MatMul", build.op("Reshape", y, build.constant([2, 64])), weight(build, "w", 64, 2)))
    before = build.graph()
    after = optimize(before)
    assert_same(before, after)
    assert after.opset == opset
    assert layout.permutes(after) == 1


def test_malformed_nodes():
    x = Value("x", dtypes.FLOAT32, (2, 2))
    y = Value("y", dtypes.FLOAT32, (2, 2))
    y.node = Node("Add", (x,), (y,), {}, "sum")
    with pytest.raises(CorruptError):
        optimize(Graph([x], {"y": y}, [y.node]))


def test_damaged_files(tmp_path):
    path = tmp_path / "m.onnx"
    with Sink(path) as sink:
        write(Model("test", classifier()), sink)

    def read(at):
        graph = optimize(FORMAT.read(Location(at)).program)
        return {value.name: np.asarray(value.tensor.numpy()) for value in graph.initializers()}

    assert_survives(read, path, cuts=30, flips=300)
