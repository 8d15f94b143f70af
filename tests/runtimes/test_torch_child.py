"""PyTorch source from a file runs in a process of its own, so that what it does to itself ends there."""

import numpy as np
import pytest

import panmodel as pm
from panmodel.errors import PanmodelError
from panmodel.runtimes import child

SOURCE = """# Written by panmodel
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, x):
        return {result}
"""
NAMES = '{"class": "Net", "inputs": [{"tensor": "x", "dtype": "float32", "shape": [2]}], "outputs": [{"tensor": "y"}]}'


@pytest.fixture
def net(tmp_path):
    pytest.importorskip("torch")

    def write(result):
        (tmp_path / "net.py").write_text(SOURCE.format(result=result))
        (tmp_path / "net.names.json").write_text(NAMES)
        (tmp_path / "net.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
        np.savez(tmp_path / "answers.npz", x=np.float32([1, 2]), y=np.float32([2, 4]))
        return tmp_path

    return write


def test_it_is_run_there(net, monkeypatch):
    folder = net("x + x")
    monkeypatch.setattr("panmodel.runtimes.torch.build", lambda *_: pytest.fail("built in this process"))
    assert pm.verify(folder / "net.py", folder / "answers.npz").same


@pytest.mark.parametrize("result", ["x + torch.zeros(10**14)", "x + 10**10**10"])
def test_what_takes_all_memory_or_time_ends_there(net, monkeypatch, result):
    monkeypatch.setattr(child, "TIMEOUT", 6)
    folder = net(result)
    with pytest.raises(PanmodelError):
        pm.verify(folder / "net.py", folder / "answers.npz")
