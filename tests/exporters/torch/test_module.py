import numpy as np
import pytest
from tests.exporters.torch.execution import graph_of, numbers, weight

from panmodel.exporters.torch.module import write_module
from panmodel.model.torch.source import SOURCE_MARK


def net(build, x):
    x = build.op("MatMul", x, weight(build, numbers(3, 2), "fc/kernel"))
    return build.op("Mul", x, weight(build, np.int64([[2]]).astype(np.float32), "gain"))


def test_the_file_says_where_it_comes_from_and_how_to_load_it():
    made = write_module(graph_of(net, numbers(4, 3)), "/some/where/MyNet.pb", "net.safetensors")
    lines = made.source.splitlines()
    assert lines[0].startswith(SOURCE_MARK)
    assert lines[0].endswith("from MyNet.pb")
    assert made.class_name == "MyNet"
    assert 'safetensors.torch.load_file("net.safetensors")' in made.source
    assert "with 7 parameters" in made.source
    assert list(made.state) == ["fc.weight", "gain"]
    assert made.names["source"]["file"] == "MyNet.pb"
    assert made.names["parameters"]["fc.weight"]["variable"] == "fc/kernel"
    assert 'torch.load("net.pt", weights_only=True)' in write_module(graph_of(net, numbers(4, 3)), "a", "net.pt").source


@pytest.mark.parametrize("path", ["saved_model.pb", "model.onnx", "graph_def.pb", ""])
def test_a_file_name_that_says_nothing_is_no_class_name(path):
    assert write_module(graph_of(net, numbers(4, 3)), path).class_name == "Net"


def test_a_file_imports_and_defines_only_what_it_uses():
    plain = write_module(graph_of(lambda b, x: b.op("Neg", x), numbers(2)), "a.pb").source
    assert "import torch\n" not in plain
    assert "load_state_dict" not in plain
    sliced = write_module(graph_of(lambda b, x: b.slice(x, [-2], [0], [0], [-2]), numbers(9)), "a.pb").source
    assert "def every(" in sliced
    assert "def pad_same(" not in sliced
    assert "import torch\n" in sliced
