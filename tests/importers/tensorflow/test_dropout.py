import numpy as np
import pytest
from tests.importers.tensorflow.execution import convert, execute, operators
from tests.tensorflow_graphs import Shape, const, graph, node

from panmodel.dtypes import FLOAT32, INT32
from panmodel.errors import UnsupportedOperatorsError

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def binary(name, op, left, right):
    return node(name, op, left, right, T=FLOAT32)


def random():
    """random_uniform as TensorFlow writes it: random * (maximum - minimum) + minimum."""
    return [
        node("x", "Placeholder", dtype=FLOAT32, shape=Shape((None, 4))),
        node("shape", "Shape", "x", T=FLOAT32, out_type=INT32),
        node("RandomUniform", "RandomUniform", "shape", dtype=FLOAT32, T=INT32, seed=0, seed2=0),
        const("min", 0.0, np.float32),
        const("max", 1.0, np.float32),
        binary("range", "Sub", "max", "min"),
        binary("scaled", "Mul", "RandomUniform", "range"),
        binary("random", "Add", "scaled", "min"),
    ]


def old(keep):
    """x / keep * floor(keep + random)."""
    nodes = [*random(), keep, binary("sum", "Add", "keep", "random"), node("mask", "Floor", "sum", T=FLOAT32)]
    return [*nodes, binary("div", "RealDiv", "x", "keep"), binary("y", "Mul", "div", "mask")]


def new(rate):
    """x * (1 / (1 - rate)) * cast(random >= rate)."""
    nodes = [*random(), rate, const("one", 1.0, np.float32), binary("keep", "Sub", "one", "rate")]
    nodes += [binary("scale", "RealDiv", "one", "keep"), binary("bigger", "Mul", "x", "scale")]
    nodes += [
        binary("kept", "GreaterEqual", "random", "rate"),
        node("mask", "Cast", "kept", SrcT=FLOAT32, DstT=FLOAT32),
    ]
    return [*nodes, binary("y", "Mul", "bigger", "mask")]


def placeholder(name):
    return node(name, "Placeholder", dtype=FLOAT32, shape=Shape(()))


FORMS = {
    "old": old(const("keep", 0.7, np.float32)),
    "old, fed": old(placeholder("keep")),
    "old, all kept": old(const("keep", 1.0, np.float32)),
    "new": new(const("rate", 0.3, np.float32)),
    "new, fed": new(placeholder("rate")),
    "new, mask first": [*new(const("rate", 0.3, np.float32))[:-1], binary("y", "Mul", "mask", "bigger")],
    "chosen": [
        *new(const("rate", 0.3, np.float32))[:-1],
        const("zero", 0.0, np.float32),
        node("y", "SelectV2", "kept", "bigger", "zero", T=FLOAT32),
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_dropout_does_nothing(form):
    nodes = [*FORMS[form], node("z", "Neg", "y", T=FLOAT32)]
    model = convert(graph(*nodes), ["x"], ["z"])
    assert operators(model) == {"Neg": 1}
    assert [value.name for value in model.program.inputs] == ["x:0"]
    assert model.notices == []
    np.testing.assert_array_equal(execute(model, {"x:0": X})[0], -X)


@pytest.mark.parametrize(
    "nodes",
    [
        [*old(const("keep", 0.7, np.float32))[:-2], binary("y", "Mul", "x", "mask")],  # not scaled
        [
            *old(const("keep", 0.7, np.float32))[:-2],
            const("other", 0.5, np.float32),
            binary("div", "RealDiv", "x", "other"),
            binary("y", "Mul", "div", "mask"),
        ],
        [*random(), binary("y", "Mul", "x", "random")],  # noise
    ],
)
def test_other_randomness_is_refused(nodes):
    with pytest.raises(UnsupportedOperatorsError, match="RandomUniform"):
        convert(graph(*nodes), ["x"], ["y"])


def test_a_graph_may_be_cut_at_a_dropout():
    nodes = [*FORMS["old"], node("z", "Neg", "y", T=FLOAT32)]
    model = convert(graph(*nodes), ["y"], ["z"])
    np.testing.assert_array_equal(execute(model, {"y:0": X})[0], -X)


def test_a_mask_with_too_many_operands_is_none():
    nodes = [*old(const("keep", 0.7, np.float32))]
    total = next(index for index, message in enumerate(nodes) if message.name == "sum")
    nodes[total] = node("sum", "Add", "keep", "random", "min", T=FLOAT32)
    with pytest.raises(UnsupportedOperatorsError, match="RandomUniform"):
        convert(graph(*nodes), ["x"], ["y"])
