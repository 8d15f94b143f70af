from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from panmodel import dtypes
from panmodel.errors import UnsupportedError
from panmodel.io.sink import Sink
from panmodel.io.source import FileSource
from panmodel.model.tensor import ArrayTensor
from panmodel.wire.pickle import Dictionary, Global
from panmodel.wire.torch_container import Loaded, load
from panmodel.wire.torch_records import ComposedRecord, MetaRecord, Quantizer, Sizes, TensorRecord, TorchValue
from panmodel.wire.torch_writing import (
    MetaTensor,
    NestedTensor,
    PlainTensor,
    QuantizedTensor,
    SetOf,
    SparseTensor,
    save,
    state_dict,
)

_NAMED = {"dtype": "float16", "layout": "sparse_coo", "qscheme": "per_tensor_affine"}


def loaded(folder: Path, value: object) -> Loaded:
    with Sink(folder / "a.pt", force=True) as sink:
        save(value, sink.open(), root="net")
    found = load(FileSource(folder / "a.pt"))
    assert not found.unknown
    return found


def plain(array: object, name: str = "t") -> PlainTensor:
    return PlainTensor(name, ArrayTensor(np.asarray(array)))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    given = {"w": ArrayTensor(np.arange(6, dtype=np.float32).reshape(2, 3)), "n": ArrayTensor(np.array(3, np.uint32))}
    found = loaded(tmp_path, state_dict(given, {"bn": {"version": 2}}))
    assert (found.root, found.version, found.big_endian) == ("net", "3", False)
    assert isinstance(found.value, Dictionary)
    assert found.value.attributes == {"_metadata": {"bn": {"version": 2}}}
    record = found.value["w"]
    assert isinstance(record, TensorRecord)
    assert (record.dtype, record.shape, record.strides, record.storage.nbytes) == (dtypes.FLOAT32, (2, 3), (3, 1), 24)
    assert (found.value["n"].dtype, found.value["n"].storage.dtype) == (dtypes.UINT32, None)  # type: ignore[attr-defined]
    with zipfile.ZipFile(tmp_path / "a.pt") as file:
        records = ["data.pkl", ".format_version", ".storage_alignment", "byteorder", "data/0", "data/1", "version"]
        assert file.namelist() == [f"net/{name}" for name in records]
        assert [file.read(f"net/{name}") for name in (".format_version", ".storage_alignment")] == [b"1", b"64"]


def test_values_and_containers(tmp_path: Path) -> None:
    value = {
        "list": [1, (2.5, None)],
        7: "text",
        "bytes": b"\0\xff",
        "complex": 1 - 2j,
        "set": SetOf((1, 2)),
        "ordered": Dictionary({"x": 1}),
        "counter": Dictionary({"x": 2}, "Counter"),
        "large": 1 << 70,
        "bytearray": bytearray(b"\0\xff"),
        "empty": bytearray(),
        "size": Sizes((2, 3)),
        "device": TorchValue("device", "cuda:1"),
    }
    named = {kind: TorchValue(kind, name) for kind, name in _NAMED.items()}
    found = loaded(tmp_path, {**value, **named}).value
    assert found == {**value, "set": [1, 2], **{kind: Global("torch", name) for kind, name in _NAMED.items()}}
    assert [type(found[key]) for key in ("ordered", "size", "bytearray")] == [Dictionary, Sizes, bytearray]
    assert [found[key].kind for key in ("ordered", "counter", "set")] == ["OrderedDict", "Counter", "set"]


def test_parameters_and_gradients(tmp_path: Path) -> None:
    content = ArrayTensor(np.ones(2, np.float32))
    made = [
        PlainTensor("a", content, True, True),
        PlainTensor("b", content, True),
        PlainTensor("c", content, False, True),
    ]
    found = loaded(tmp_path, made).value
    assert isinstance(found, list)
    assert [(record.parameter, record.requires_grad) for record in found] == [
        (True, True),
        (True, False),
        (False, True),
    ]
    assert len({id(record.storage.content) for record in found}) == 1


def test_tensors_of_several_parts(tmp_path: Path) -> None:
    codes = plain(np.arange(6, dtype=np.int8).reshape(2, 3))
    scales, zeros = plain(np.ones(2)), plain(np.zeros(2, np.int64))
    indices, values = plain(np.array([[0, 1]])), plain(np.ones(2, np.float32))
    sizes = plain(np.array([[2]]))
    value = {
        "each": QuantizedTensor(codes, "qint8", "per_tensor_affine", (0.5, 3)),
        "channels": QuantizedTensor(codes, "qint8", "per_channel_affine", (scales, zeros, 0)),
        "coo": SparseTensor("sparse_coo", (indices, values), (4,), True),
        "nested": NestedTensor((values, sizes, sizes, plain(np.array([0])))),
        "meta": MetaTensor("float16", (2, 3), (3, 1)),
    }
    found = loaded(tmp_path, value).value
    assert isinstance(found, dict)
    each, channels, coo, meta = found["each"], found["channels"], found["coo"], found["meta"]
    assert each.dtype is dtypes.ALL["qint8"]
    assert each.quantizer == Quantizer("per_tensor_affine", 0.5, 3)
    assert (channels.quantizer.axis, channels.quantizer.scale.shape) == (0, (2,))
    assert isinstance(coo, ComposedRecord)
    assert (coo.layout, coo.shape, coo.coalesced) == ("sparse_coo", (4,), True)
    assert isinstance(meta, MetaRecord)
    assert (meta.dtype, meta.shape) == (dtypes.FLOAT16, (2, 3))
    assert found["nested"].layout == "nested"


def test_what_torch_lacks_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    value = [plain(np.ones(1), "w"), plain(np.array([b"x"], object), "labels")]
    with pytest.raises(UnsupportedError, match=r"no type for labels \(string\)"):
        loaded(tmp_path, {"deep": value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("nested", [False, True])
def test_packed_types_that_do_not_fill_their_bytes_are_refused_together(tmp_path: Path, *, nested: bool) -> None:
    kind = dtypes.ALL["float4_e2m1fn"]
    shapes = {"scalar": (), "odd": (2, 3), "fits": (3, 2)}
    given = {name: ArrayTensor(np.zeros(shape, kind.numpy), dtype=kind) for name, shape in shapes.items()}
    value: object = state_dict(given)
    if nested:
        value = {"model": [PlainTensor(name, tensor, parameter=True) for name, tensor in given.items()], "epoch": 1}
    with (
        pytest.raises(UnsupportedError, match=r"filled: scalar \(float4_e2m1fn\[\]\), odd \(float4_e2m1fn\[2, 3\]\)"),
        Sink(tmp_path / "a") as sink,
    ):
        save(value, sink.open())
    assert not list(tmp_path.iterdir())
