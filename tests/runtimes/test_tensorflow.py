"""TensorFlow where it is installed; that it is asked for without being imported, everywhere."""

import subprocess
import sys

import numpy as np
import pytest
from tests.tensorflow_graphs import Shape, const, graph, node

from panmodel.dtypes import FLOAT32
from panmodel.errors import UnsupportedError
from panmodel.formats import by_name
from panmodel.io.sink import Sink
from panmodel.model.model import Model
from panmodel.runtimes import child
from panmodel.runtimes import tensorflow as runtime


def test_asking_whether_it_is_installed_does_not_import_it():
    code = "import sys; from panmodel.runtimes.tensorflow import is_installed; is_installed()"
    code += "; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("there", [True, False])
def test_it_is_installed_where_it_can_be_found(tmp_path, monkeypatch, there):
    if there:
        (tmp_path / "tensorflow.py").write_text("raise AssertionError('imported')")
        monkeypatch.syspath_prepend(tmp_path)
    else:
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    assert runtime.is_installed() is there


@pytest.fixture
def frozen(tmp_path):
    made = graph(
        node("x", "Placeholder", dtype=FLOAT32, shape=Shape([2])),
        const("two", 2.0, np.float32),
        node("y", "Mul", "x", "two", T=FLOAT32),
        node("z", "Neg", "y", T=FLOAT32),
    )
    path = tmp_path / "model.pb"
    with Sink(path) as sink:
        by_name("tensorflow_graph").write(Model("tensorflow_graph", made), sink)
    (tmp_path / "exchange").mkdir()
    return path


def test_a_frozen_graph_runs(frozen, tmp_path):
    pytest.importorskip("tensorflow")
    assert runtime.label().startswith("tensorflow ")
    found = child.call("tensorflow", frozen, {"x:0": np.float32([1, 2])}, ["z:0", "y:0"], tmp_path / "exchange")
    assert {name: array.tolist() for name, array in found.items()} == {"z:0": [-2, -4], "y:0": [2, 4]}


def test_what_is_no_graph_is_an_error_of_ours(frozen, tmp_path):
    frozen.write_bytes(b"noise")
    with pytest.raises(UnsupportedError, match=r"model\.pb: tensorflow cannot run it"):
        child.call("tensorflow", frozen, {}, ["y:0"], tmp_path / "exchange")
