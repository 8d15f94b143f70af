import numpy as np
import pytest
from tests.exporters.torch.execution import agrees, computed, graph_of, numbers, weight

from panmodel.dtypes import INT32
from panmodel.errors import UnsupportedOperatorsError
from panmodel.exporters.torch import export
from panmodel.model.model import Model
from panmodel.runtimes import torch as runtime

X = numbers(2, 3, 4) * 3


def applied(op, **attributes):
    return lambda build, *values: build.op(op, *values, **attributes)


@pytest.mark.parametrize(
    ("op", "attributes", "line"),
    [
        ("Relu", {}, "return F.relu(in0)"),
        ("Sigmoid", {}, "return torch.sigmoid(in0)"),
        ("Softplus", {}, "return F.softplus(in0)"),
        ("Softsign", {}, "return F.softsign(in0)"),
        ("HardSwish", {}, "return F.hardswish(in0)"),
        ("Mish", {}, "return F.mish(in0)"),
        ("Erf", {}, "return torch.erf(in0)"),
        ("Elu", {}, "return F.elu(in0)"),
        ("Elu", {"alpha": 0.3}, "return F.elu(in0, 0.3)"),
        ("Celu", {"alpha": 2.0}, "return F.celu(in0, 2.0)"),
        ("Selu", {}, "return F.selu(in0)"),
        ("Selu", {"alpha": 0.0, "gamma": 2.0}, "return 2.0 * F.elu(in0, 0.0)"),
        ("LeakyRelu", {}, "return F.leaky_relu(in0)"),
        ("LeakyRelu", {"alpha": 0.2}, "return F.leaky_relu(in0, 0.2)"),
        ("HardSigmoid", {}, "return (0.2 * in0 + 0.5).clamp(0, 1)"),
        ("HardSigmoid", {"alpha": 1 / 6}, "return F.hardsigmoid(in0)"),
        ("ThresholdedRelu", {"alpha": 0.7}, "return F.threshold(in0, 0.7, 0.0)"),
        ("Softmax", {"axis": 1}, "return F.softmax(in0, dim=1)"),
        ("LogSoftmax", {}, "return F.log_softmax(in0, dim=-1)"),
    ],
)
@pytest.mark.parametrize("known", ["static", "unknown"])
def test_activations_without_weights(op, attributes, line, known):
    assert agrees(applied(op, **attributes), X, known=known) == [line]


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(approximate):
    agrees(applied("Gelu", approximate=approximate), X, opset=20)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_softmax_before_opset_13_runs_over_all_axes_from_one_on(axis):
    agrees(applied("Softmax", axis=axis), X, opset=11)
    agrees(applied("LogSoftmax", axis=axis), X, known="symbolic", opset=11)


def test_clip_takes_numbers_and_tensors_for_bounds():
    low, high = np.array(-0.5, np.float32), np.array(0.25, np.float32)
    assert agrees(lambda b, x: b.op("Clip", x, b.constant(low), b.constant(high)), X) == [
        "return in0.clamp(min=-0.5, max=0.25)"
    ]
    assert agrees(lambda b, x: b.op("Clip", x, None, b.constant(high)), X) == ["return in0.clamp(max=0.25)"]
    agrees(lambda b, x, y: b.op("Clip", x, b.constant(low), y), X, high)
    agrees(lambda b, x, y: b.op("Clip", x, y, b.constant(high)), X, low)
    agrees(applied("Clip"), X, low, high)
    whole = numbers(7, dtype=np.int32)
    agrees(lambda b, x: b.op("Clip", x, b.constant(-2, INT32), b.constant(3, INT32)), whole)
    assert agrees(applied("Clip", min=0.0, max=6.0), X * 4, opset=6) == ["return F.relu6(in0)"]


@pytest.mark.parametrize(
    ("slope", "layer"),
    [((1,), True), ((3, 1), True), ((1, 3, 1), True), ((), True), ((4,), False), ((3, 4), False)],
)
def test_prelu_is_a_layer_with_a_slope_for_all_or_per_channel(slope, layer):
    graph = graph_of(lambda b, x: b.op("PRelu", x, weight(b, numbers(*slope, seed=2))), X)
    agrees(lambda b, x: b.op("PRelu", x, weight(b, numbers(*slope, seed=2))), X)
    assert ("nn.PReLU(" in export(Model("onnx", graph)).program.source) == layer


def test_dropout_works_while_training_only():
    ones = np.ones(4000, np.float32)
    graph = graph_of(lambda b, x: b.op("Dropout", x, b.constant(0.25)), ones)
    module = runtime.build(export(Model("onnx", graph)).program)
    assert (runtime.run(module, [ones])[0][0] == 1).all()
    dropped = runtime.run(module.train(), [ones])[0][0]
    assert 0.15 < (dropped == 0).mean() < 0.35


@pytest.mark.parametrize(("opset", "dtype"), [(7, np.float32), (10, np.bool_), (13, np.bool_)])
def test_the_mask_of_dropout_has_the_type_of_its_opset(opset, dtype):
    graph = graph_of(lambda b, x: b.ops("Dropout", x, outputs=2), X, opset=opset)
    values, mask = computed(graph, [X])
    np.testing.assert_array_equal(values, X)
    assert mask.dtype == dtype
    assert mask.shape == X.shape


def test_dropout_that_always_drops_is_refused():
    graph = graph_of(lambda b, x: b.op("Dropout", x, b.constant(0.5), b.constant(True)), X)
    with pytest.raises(UnsupportedOperatorsError, match="always active"):
        export(Model("onnx", graph))
