import numpy as np
import pytest
from tests.exporters.torch.execution import agrees, expected, graph_of, numbers, weight

from panmodel.errors import UnsupportedOperatorsError
from panmodel.exporters.torch import export
from panmodel.model.model import Model

SCALE, BIAS, MEAN = (numbers(3, seed=at) for at in range(3))
VARIANCE = np.float32([0.5, 1, 2])


def batch_norm(build, x, dtype=np.float32, **attributes):
    arrays = zip(("gamma", "beta", "mean", "variance"), (SCALE, BIAS, MEAN, VARIANCE), strict=True)
    operands = [weight(build, array.astype(dtype), name) for name, array in arrays]
    return build.op("BatchNormalization", x, *operands, **attributes)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (2, 3, 4, 5), (1, 3, 2, 2, 2)])
def test_batch_normalization_of_every_rank(shape):
    kind = f"nn.BatchNorm{max(len(shape) - 2, 1)}d(3, eps=0.01, momentum=0.25)"
    build_one = lambda b, x: batch_norm(b, x, epsilon=0.01, momentum=0.75)  # noqa: E731
    assert agrees(build_one, numbers(*shape), known="batch") == ["return self.norm(in0)"]
    assert kind in export(Model("onnx", graph_of(build_one, numbers(*shape)))).program.source


def test_batch_normalization_by_computed_statistics_and_of_unknown_rank():
    x = numbers(2, 3, 4)
    line = agrees(lambda b, *values: b.op("BatchNormalization", *values), x, SCALE, BIAS, MEAN, VARIANCE)
    assert line == ["return F.batch_norm(in0, in3, in4, in1, in2, eps=1e-05)"]
    agrees(batch_norm, x, known="unknown")
    agrees(lambda b, v: batch_norm(b, v, np.float64), x.astype(np.float64), tolerance=1e-12)


def test_statistics_of_the_batch_itself_are_refused():
    def training(build, x):
        arrays = (SCALE, BIAS, MEAN, VARIANCE)
        operands = [weight(build, array, f"n{at}") for at, array in enumerate(arrays)]
        return build.ops("BatchNormalization", x, *operands, outputs=3, training_mode=1)[0]

    with pytest.raises(UnsupportedOperatorsError, match="training mode"):
        export(Model("onnx", graph_of(training, numbers(2, 3, 4))))


@pytest.mark.parametrize("known", ["static", "symbolic"])
@pytest.mark.parametrize(("axis", "shape"), [(-1, (5,)), (1, (4, 5)), (2, (5,))])
def test_layer_normalization_over_the_last_axes(axis, shape, known):
    def normalized(build, x):
        scale, bias = weight(build, numbers(*shape), "scale"), weight(build, numbers(*shape, seed=1), "bias")
        return build.op("LayerNormalization", x, scale, bias, axis=axis, epsilon=1e-3)

    assert agrees(normalized, numbers(2, 4, 5), known=known) == ["return self.norm(in0)"]
    agrees(lambda b, x: b.op("LayerNormalization", x, weight(b, numbers(*shape)), axis=axis), numbers(2, 4, 5))


def test_one_scale_for_all_is_no_layer():
    line = agrees(lambda b, x: b.op("LayerNormalization", x, weight(b, np.float32([1.5]), "gain")), numbers(2, 5))
    assert line == ["return F.layer_norm(in0, in0.shape[1:], eps=1e-05) * self.gain"]
    agrees(lambda b, x, s, t: b.op("LayerNormalization", x, s, t), numbers(2, 3), SCALE, BIAS)


def test_mean_and_deviation_are_refused_where_they_are_needed():
    graph = graph_of(lambda b, x: b.ops("LayerNormalization", x, weight(b, SCALE), outputs=3), numbers(2, 3))
    assert len(expected(graph, [numbers(2, 3)])) == 3
    with pytest.raises(UnsupportedOperatorsError, match="further outputs"):
        export(Model("onnx", graph))


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 4, 5), (1, 3, 2, 2, 2)])
def test_instance_normalization(shape):
    made = lambda b, x: b.op(  # noqa: E731
        "InstanceNormalization", x, weight(b, SCALE, "scale"), weight(b, BIAS, "bias"), epsilon=1e-3
    )
    assert agrees(made, numbers(*shape)) == ["return self.norm(in0)"]
    agrees(lambda b, x, s, t: b.op("InstanceNormalization", x, s, t), numbers(*shape), SCALE, BIAS)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [0, -1])
def test_vectors_of_length_one(p, axis):
    agrees(lambda b, x: b.op("LpNormalization", x, p=p, axis=axis), numbers(3, 4))
