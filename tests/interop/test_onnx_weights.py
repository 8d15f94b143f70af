"""onnx's own package as the judge of initializers: every element type, raw and listed; and what memory they take."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.onnx_files import info, save

import panmodel
from panmodel.errors import UnsupportedError

KINDS = [kind for kind in TensorProto.DataType.values() if kind not in (TensorProto.UNDEFINED, TensorProto.STRING)]


def elements(kind: int) -> np.ndarray:
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind))
    codes = np.random.default_rng(kind).integers(0, 256, 15 * dtype.itemsize, dtype=np.uint8)
    if dtype.kind == "b" or dtype.name in ("int2", "uint2", "int4", "uint4"):
        return (codes[:15] % 2).astype(dtype).reshape(3, 5)
    masks = {"float4_e2m1fn": 0xF, "float6_e2m3fn": 0x3F, "float6_e3m2fn": 0x3F}
    return (codes & masks.get(dtype.name, 0xFF)).view(dtype).reshape(3, 5)


def model_of(path: Path, *initializers: TensorProto) -> Path:
    return save(path, [helper.make_node("Relu", ["x"], ["y"])], [info("x")], [info("y")], initializers)


@pytest.mark.parametrize("kind", KINDS, ids=TensorProto.DataType.Name)
def test_every_type_raw_and_listed(tmp_path: Path, kind: int) -> None:
    array = elements(kind)
    raw = numpy_helper.from_array(array, "raw")
    listed = helper.make_tensor("listed", kind, array.shape, array.reshape(-1))
    path = model_of(tmp_path / "m.onnx", raw, listed)
    tensors = panmodel.read(path).tensors
    judged = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    for name, tensor in tensors.items():
        assert tensor.numpy().tobytes() == judged[name].tobytes(), name
    assert b"".join(map(bytes, tensors["raw"].chunks(4))) == raw.raw_data
    panmodel.convert(path, tmp_path / "a.npz", weights_only=True)
    found = panmodel.diff(path, tmp_path / "a.npz")
    assert found.same
    assert found.equal == ("raw", "listed")


def test_strings(tmp_path: Path) -> None:
    text = TensorProto(name="s", data_type=TensorProto.STRING, dims=[2, 1], string_data=[b"a\xff", b"\0"])
    path = model_of(tmp_path / "m.onnx", text)
    panmodel.convert(path, tmp_path / "a.npz", weights_only=True)
    assert panmodel.read(tmp_path / "a.npz").tensors["s"].numpy().tolist() == [[b"a\xff"], [b"\0"]]


def test_external_data(tmp_path: Path) -> None:
    array = np.arange(5000, dtype=np.float32)
    path = model_of(tmp_path / "m.onnx", numpy_helper.from_array(array, "w"))
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    panmodel.convert(path, tmp_path / "w.npy", weights_only=True)
    np.testing.assert_array_equal(np.load(tmp_path / "w.npy"), array)


def test_weights_alone_become_no_graph(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", w=np.zeros(3))
    with pytest.raises(UnsupportedError, match="holds weights without a graph, onnx needs one"):
        panmodel.convert(tmp_path / "a.npz", tmp_path / "m.onnx")
    with pytest.raises(UnsupportedError, match="is to be moved without its graph, onnx needs one"):
        panmodel.convert(model_of(tmp_path / "m.onnx"), tmp_path / "n.onnx", weights_only=True)


@pytest.mark.parametrize("field", ["raw_data", "float_data"])
def test_large_weights_are_listed_unread_and_streamed(tmp_path: Path, field: str) -> None:
    """200 MB in a sparse file."""
    count, marker = 50_000_000, b"\xde\xad\xbe\xef" * 16
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[count])
    if field == "raw_data":
        tensor.raw_data = marker
    else:
        tensor.float_data.extend(np.frombuffer(marker, np.float32).tolist())
    data = model_of(tmp_path / "small.onnx", tensor).read_bytes()
    path = tmp_path / "large.onnx"
    _stretch(data, marker, 4 * count, path)
    panmodel.read(path)  # so that the code which that loads is not measured
    tracemalloc.start()
    try:
        tensor = panmodel.read(path).tensors["w"]
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
        assert sum(len(piece) for piece in tensor.chunks()) == 4 * count
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def _stretch(data: bytes, content: bytes, nbytes: int, path: Path) -> None:
    """Write a model whose one payload is as long as asked for: the lengths of the fields around it grow with it."""
    at = data.index(content)
    with path.open("wb") as file:
        file.write(_before(data, at, nbytes - len(content)))
        file.seek(nbytes, 1)
        file.write(data[at + len(content) :])


def _before(data: bytes, at: int, more: int) -> bytes:
    """What stands before the payload, each length that counts the payload made larger."""
    out, position = b"", 0
    while position < at:
        tag, begin = _varint(data, position)
        value, after = _varint(data, begin)
        end = after + value if tag & 7 == 2 else after
        if end <= at:
            out += data[position:end]
            position = end
            continue
        inner = _before(data[after:end], at - after, more)
        grown = value + more + len(inner) - (at - after)
        return out + data[position:begin] + _encoded(grown) + inner
    return out


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
