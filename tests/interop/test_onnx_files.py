"""Models that other software wrote: read, written again and optimized, they compute the same."""

import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from panmodel.formats.onnx import FORMAT, write
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.model import Model
from panmodel.passes import optimize

onnxruntime.set_default_logger_severity(4)


class Convolutions(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.b = torch.nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.c = torch.nn.Linear(4, 5)

    def forward(self, x):
        y = torch.relu(self.norm(self.a(x)))
        y = torch.nn.functional.hardswish(self.b(torch.nn.functional.pad(y, (1, 1, 0, 0))))
        return self.c(y.mean((2, 3))), y.permute(0, 2, 3, 1).flatten(1)


class Attention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, dropout=0.1)
        self.embedding = torch.nn.Embedding(11, 16)

    def forward(self, tokens):
        return self.layer(self.embedding(tokens))


class Recurrent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(6, 5, bidirectional=True)

    def forward(self, x):
        y, (h, _) = self.lstm(x)
        return y, h


@torch.jit.script
def looped(x, count: int):
    for step in range(count):
        if step % 2 == 0:
            x = torch.relu(x) + step
        else:
            y = x * 2
            x = y - 1
    return x


class Looping(torch.nn.Module):
    def forward(self, x):
        return looped(torch.relu(x), x.shape[0])


CASES = {
    "convolutions": (Convolutions(), torch.randn(2, 3, 8, 6)),
    "attention": (Attention(), torch.randint(0, 11, (2, 7))),
    "recurrent": (Recurrent(), torch.randn(4, 2, 6)),
    "looping": (torch.jit.script(Looping()), torch.randn(3, 2)),
}


def export(name, path, opset):
    module, example = CASES[name]
    module.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (example,), path, opset_version=opset, dynamo=False, input_names=["x"])
    return {"x": example.numpy()}


def run(path, feeds):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options).run(None, feeds)


def assert_same(path, other, feeds):
    for want, found in zip(run(path, feeds), run(other, feeds), strict=True):
        assert want.dtype == found.dtype
        np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("opset", [10, 14, 17, 20])
@pytest.mark.parametrize("name", CASES)
def test_exports_of_torch(tmp_path, name, opset):
    if name in ("looping", "attention", "convolutions") and opset < 14:
        pytest.skip("torch writes no such model at this opset")
    path = tmp_path / "a.onnx"
    feeds = export(name, path, opset)
    model = FORMAT.read(Location(path))
    assert model.metadata["producer_name"] == "pytorch"
    copy, optimized = tmp_path / "b.onnx", tmp_path / "c.onnx"
    with Sink(copy) as sink:
        write(model, sink)
    onnx.checker.check_model(str(copy), full_check=True)
    assert_same(path, copy, feeds)
    before = {item.name: onnx.numpy_helper.to_array(item) for item in onnx.load(path).graph.initializer}
    after = {item.name: onnx.numpy_helper.to_array(item) for item in onnx.load(copy).graph.initializer}
    for weight in before.keys() & after.keys():
        np.testing.assert_array_equal(before[weight], after[weight])
    with Sink(optimized) as sink:
        write(Model("onnx", optimize(model.program), metadata=model.metadata), sink)
    onnx.checker.check_model(str(optimized), full_check=True)
    assert_same(path, optimized, feeds)


def test_onnx_reads_our_external_data(tmp_path):
    path = tmp_path / "a.onnx"
    feeds = export("convolutions", path, 17)
    with Sink(tmp_path / "b.onnx") as sink:
        write(FORMAT.read(Location(path)), sink, largest=5000)
    assert (tmp_path / "b.onnx.data").exists() is False  # nothing here is as large as a page
    with Sink(tmp_path / "c.onnx") as sink:
        write(FORMAT.read(Location(path)), sink, largest=100_000)
    assert_same(path, tmp_path / "c.onnx", feeds)


def test_we_read_the_external_data_of_onnx(tmp_path):
    export("attention", tmp_path / "a.onnx", 17)
    proto = onnx.load(tmp_path / "a.onnx")
    onnx.save(proto, tmp_path / "b.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    first, second = (FORMAT.read(Location(tmp_path / name)).tensors for name in ("a.onnx", "b.onnx"))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        np.testing.assert_array_equal(tensor.numpy(), second[name].numpy())
