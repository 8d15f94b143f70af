"""Every operator in its variants, as TensorFlow itself computes it: converted to ONNX and to PyTorch."""

import numpy as np
import pytest
from tests.interop.tensorflow_graphs import cases

import panmodel as pm

CASES = cases()


@pytest.fixture(scope="module")
def tensorflow():
    return pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def answers(tensorflow, tmp_path_factory):
    """Case → its file, the names of its inputs and outputs, what it was fed, and what TensorFlow computes."""
    folder = tmp_path_factory.mktemp("graphs")
    return lambda name: _answers(tensorflow, CASES[name], name, folder)


def _answers(tf, case, name, folder):
    v1 = tf.compat.v1
    with v1.Graph().as_default() as graph, v1.Session() as session:
        inputs = [v1.placeholder(getattr(tf, i.dtype), i.shape, f"x{at}") for at, i in enumerate(case.inputs)]
        found = case.build(tf, *inputs)
        outputs = [*found] if isinstance(found, (list, tuple)) else [found]
        runs = [(run, session.run(outputs, dict(zip(inputs, run, strict=True)))) for run in case.runs(name)]
        path = folder / "graph.pb"
        path.write_bytes(graph.as_graph_def().SerializeToString())
    return path, [tensor.name for tensor in inputs], [tensor.name for tensor in outputs], runs


@pytest.mark.parametrize("name", CASES)
def test_onnx(name, answers, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    path, inputs, outputs, runs = answers(name)
    pm.convert(path, tmp_path / "graph.onnx", inputs=inputs, outputs=outputs)
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx")
    there = {value.name for value in session.get_inputs()}
    for arrays, expected in runs:
        fed = {key: array for key, array in zip(inputs, arrays, strict=True) if key in there}
        assert_same(session.run(None, fed), expected)


@pytest.mark.parametrize("name", CASES)
def test_torch(name, answers):
    torch = pytest.importorskip("torch")
    path, inputs, outputs, runs = answers(name)
    module = pm.to_torch(path, inputs=inputs, outputs=outputs).eval()
    for arrays, expected in runs:
        with torch.no_grad():
            found = module(*(torch.from_numpy(np.asarray(array)) for array in arrays))
        assert_same([tensor.numpy() for tensor in (found if isinstance(found, tuple) else (found,))], expected)


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        one, other = np.asarray(one), np.asarray(other)
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        exact = other.dtype.kind not in "fc"
        tolerance = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-4, "atol": 1e-5}
        np.testing.assert_allclose(one, other, **tolerance)
