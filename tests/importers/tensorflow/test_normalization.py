import numpy as np
import pytest
from tests.importers.tensorflow.execution import convert, execute, operators, run
from tests.tensorflow_graphs import Shape, const, graph, node

from panmodel.dtypes import FLOAT16, FLOAT32

RNG = np.random.default_rng(2)
SCALE, OFFSET, MEAN = (RNG.standard_normal(3, np.float32) for _ in range(3))
VARIANCE = RNG.random(3, np.float32) + 0.5
PARAMETERS = [const("s", SCALE), const("o", OFFSET), const("m", MEAN), const("v", VARIANCE)]


def normalization(op, x, *, dtype=FLOAT32, **attributes):
    fed = node("x", "Placeholder", dtype=dtype, shape=Shape(x.shape))
    return [fed, *PARAMETERS, node("y", op, "x", "s", "o", "m", "v", T=dtype, **attributes)]


@pytest.mark.parametrize("op", ["FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"])
@pytest.mark.parametrize("epsilon", [None, 0.25])
def test_by_stored_statistics(op, epsilon):
    x = RNG.standard_normal((2, 4, 5, 3), np.float32)
    attributes = {"is_training": False} | ({} if epsilon is None else {"epsilon": epsilon})
    model = convert(graph(*normalization(op, x, **attributes)), ["x"], ["y"])
    assert operators(model) == {"Transpose": 2, "BatchNormalization": 1}
    expected = (x - MEAN) / np.sqrt(VARIANCE + (epsilon or 1e-4)) * SCALE + OFFSET
    np.testing.assert_allclose(execute(model, {"x:0": x})[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("data_format", ["NCHW", "NDHWC", "NCDHW"])
def test_data_formats(data_format):
    rank = len(data_format)
    x = RNG.standard_normal((*(2, 4, 5, 6)[: rank - 1], 3), np.float32)
    expected = (x - MEAN) / np.sqrt(VARIANCE + 1e-4) * SCALE + OFFSET
    if data_format[1] == "C":
        first = (0, rank - 1, *range(1, rank - 1))
        x, expected = x.transpose(first), expected.transpose(first)
    (y,) = run(normalization("FusedBatchNormV3", x, data_format=data_format, is_training=False), {"x:0": x}, ["y:0"])
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_half_precision_with_statistics_in_single():
    x = RNG.standard_normal((2, 4, 5, 3)).astype(np.float16)
    (y,) = run(normalization("FusedBatchNormV3", x, dtype=FLOAT16, is_training=False), {"x:0": x}, ["y:0"])
    assert y.dtype == np.float16
    expected = (x.astype(np.float32) - MEAN) / np.sqrt(VARIANCE + 1e-4) * SCALE + OFFSET
    np.testing.assert_allclose(y.astype(np.float32), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_by_the_statistics_of_the_batch(factor):
    x = RNG.standard_normal((2, 4, 5, 3), np.float32)
    nodes = normalization("FusedBatchNormV3", x, exponential_avg_factor=factor)  # a graph that trains omits the default
    y, mean, variance, saved = run(nodes, {"x:0": x}, ["y:0", "y:1", "y:2", "y:4"])
    batch_mean, batch_variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    expected = (x - batch_mean) / np.sqrt(batch_variance + 1e-4) * SCALE + OFFSET
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(mean, MEAN * (1 - factor) + batch_mean * factor, rtol=1e-4, atol=1e-6)
    unbiased = batch_variance * 40 / 39
    np.testing.assert_allclose(variance, VARIANCE * (1 - factor) + unbiased * factor, rtol=1e-4)
    np.testing.assert_allclose(saved, batch_variance, rtol=1e-4)
