"""Every container and kind of tensor that torch writes; torch is the judge of what is in them."""

from __future__ import annotations

import argparse
import collections
import datetime
import importlib
import io
import pathlib
import pickle
import struct
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.damage import assert_survives

from panmodel import dtypes
from panmodel.io.source import FileSource
from panmodel.model.torch.storage import from_array, from_record
from panmodel.wire.torch_container import Loaded, load
from panmodel.wire.torch_records import (
    ArrayRecord,
    ComposedRecord,
    MetaRecord,
    PlainValue,
    SubclassRecord,
    TensorRecord,
)

torch = pytest.importorskip("torch")
warnings.filterwarnings("ignore", category=UserWarning)

TYPES = [name for name in sorted(dtypes.BY_TORCH) if not name.startswith("q")]
CONTAINERS = ("zip", "legacy", "pickle", "tar")


def bits(tensor: object) -> bytes:
    flat = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)  # type: ignore[attr-defined]
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def save_tar(value: dict[str, object], path: Path) -> None:
    """Write what torch 0.1 wrote, after what `legacy_load` reads of it."""
    storages, tensors = io.BytesIO(), io.BytesIO()
    keys: dict[int, int] = {}
    pickle.dump(len({t.untyped_storage().data_ptr() for t in value.values()}), storages, 2)
    pickle.dump(len(value), tensors, 2)
    identities = {}
    for number, tensor in enumerate(value.values()):
        pointer = tensor.untyped_storage().data_ptr()
        kind = getattr(torch, dtypes.BY_TORCH[str(tensor.dtype)[6:]].torch_storage)
        if pointer not in keys:
            keys[pointer] = 1000 + number
            pickle.dump((keys[pointer], "cpu", kind), storages, 2)
            raw = bytes(tensor.untyped_storage().tolist())
            storages.write(struct.pack("<q", len(raw) // tensor.element_size()) + raw)
        identities[id(tensor)] = 2000 + number
        pickle.dump((2000 + number, keys[pointer], kind), tensors, 2)
        rank = tensor.dim()
        numbers = (*tensor.size(), *tensor.stride(), tensor.storage_offset())
        tensors.write(struct.pack(f"<ii{2 * rank + 1}q", rank, 0, *numbers))
    pickle.dump([], storages, 2)
    body = io.BytesIO()
    pickler = pickle.Pickler(body, 2)
    pickler.persistent_id = lambda item: str(identities[id(item)]) if id(item) in identities else None  # type: ignore[method-assign,assignment]
    pickler.dump(value)
    members = {"sys_info": pickle.dumps({}, 2), "pickle": body.getvalue()}
    members |= {"tensors": tensors.getvalue(), "storages": storages.getvalue()}
    with tarfile.open(path, "w:", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 1.5  # type: ignore[assignment]  # gives it an extended header
            archive.addfile(member, io.BytesIO(content))


def save(value: object, path: Path, container: str) -> None:
    if container == "tar":
        save_tar(value, path)  # type: ignore[arg-type]
    elif container == "pickle":
        path.write_bytes(pickle.dumps(value, 4))
    else:
        torch.save(value, path, _use_new_zipfile_serialization=container == "zip")


def loaded(value: object, path: Path, container: str) -> Loaded:
    save(value, path, container)
    found = load(FileSource(path))
    assert found.kind == container
    assert not found.unknown
    return found


def assert_equal(name: str, record: object, tensor: object) -> None:
    assert isinstance(record, TensorRecord), record
    made = from_record(name, record)
    assert (made.dtype.torch, made.shape) == (str(tensor.dtype)[6:], tuple(tensor.shape))  # type: ignore[attr-defined]
    assert b"".join(map(bytes, made.chunks())) == bits(tensor)
    assert record.strides == tensor.stride()  # type: ignore[attr-defined]


def various(name: str) -> dict[str, object]:
    kind, noise = getattr(torch, name), np.random.default_rng(0)
    width = torch.empty(0, dtype=kind).element_size()
    raw = noise.integers(0, 2 if name == "bool" else 256, (60 * width,), np.uint8)
    base = torch.tensor(raw.tolist(), dtype=torch.uint8).view(kind)
    return {
        "base": base,
        "view": base[7:19].reshape(3, 4),
        "turned": base[:24].reshape(4, 6).t(),
        "scalar": base[3],
        "empty": torch.empty(0, 5, dtype=kind),
        "repeated": base[:1].expand(4, 3),
    }


@pytest.mark.parametrize("container", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("name", TYPES)
def test_every_type_in_every_container(tmp_path: Path, name: str, container: str) -> None:
    state = various(name)
    found = loaded(state, tmp_path / "a.pt", container)
    assert list(found.value) == list(state)  # type: ignore[call-overload]
    for key, tensor in state.items():
        assert_equal(key, found.value[key], tensor)  # type: ignore[index]
    if container != "pickle":  # plain pickles give each tensor a storage of its own
        assert found.value["base"].storage.content is found.value["view"].storage.content  # type: ignore[index]


@pytest.mark.parametrize("name", ["float32", "int64", "bool", "float16", "complex64"])
def test_tar_files(tmp_path: Path, name: str) -> None:
    state = {key: tensor for key, tensor in various(name).items() if key != "empty"}
    save_tar(state, tmp_path / "a.tar")
    if name != "complex64":
        right = torch.load(tmp_path / "a.tar", weights_only=False)  # what this test wrote itself
        assert all(bits(right[key]) == bits(tensor) for key, tensor in state.items())
    found = loaded(state, tmp_path / "a.tar", "tar")
    for key, tensor in state.items():
        assert_equal(key, found.value[key], tensor)  # type: ignore[index]


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    state = {"w": torch.arange(6.0).reshape(2, 3), "n": np.arange(4, dtype=">i2"), "s": {1, 2}, "b": b"\0\xff"}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(state, protocol))
    found = load(FileSource(tmp_path / "a.pkl"))
    assert (found.kind, dict(found.unknown)) == ("pickle", {})
    assert isinstance(found.value, dict)
    assert_equal("w", found.value["w"], state["w"])
    array = found.value["n"]
    assert isinstance(array, ArrayRecord)
    made = from_array("n", array)
    assert made.numpy().tolist() == [0, 1, 2, 3]
    assert (sorted(found.value["s"]), found.value["b"]) == ([1, 2], b"\0\xff")


@pytest.mark.parametrize("container", ["zip", "legacy", "pickle"])
def test_quantized_tensors(tmp_path: Path, container: str) -> None:
    numbers = torch.linspace(-2, 2, 12).reshape(3, 4)
    scales, zeros = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64), torch.tensor([1, 2, 3])
    state = {
        "tensor": torch.quantize_per_tensor(numbers, 0.05, 3, torch.quint8),
        "signed": torch.quantize_per_tensor(numbers, 0.05, 0, torch.qint8),
        "wide": torch.quantize_per_tensor(numbers, 1e-6, 0, torch.qint32),
        "channel": torch.quantize_per_channel(numbers, scales, zeros, 0, torch.qint8),
    }
    found = loaded(state, tmp_path / "a.pt", container)
    for key, tensor in state.items():
        record = found.value[key]  # type: ignore[index]
        assert isinstance(record, TensorRecord) and record.quantizer is not None
        made = from_record(key, record)
        assert (made.dtype.torch, made.numpy().tolist()) == (str(tensor.dtype)[6:], tensor.int_repr().tolist())
    quantizer = found.value["tensor"].quantizer  # type: ignore[index]
    assert (quantizer.scheme, quantizer.scale, quantizer.zero_point) == ("per_tensor_affine", 0.05, 3)
    channel = found.value["channel"].quantizer  # type: ignore[index]
    assert (channel.scheme, channel.axis) == ("per_channel_affine", 0)
    assert_equal("scales", channel.scale, scales)
    assert_equal("zero_points", channel.zero_point, zeros)


LAYOUTS = {
    "sparse_coo": lambda dense: dense.to_sparse_coo(),
    "sparse_csr": lambda dense: dense.to_sparse_csr(),
    "sparse_csc": lambda dense: dense.to_sparse_csc(),
    "sparse_bsr": lambda dense: dense.to_sparse_bsr((2, 3)),
    "sparse_bsc": lambda dense: dense.to_sparse_bsc((2, 3)),
}
READ = {
    "indices": lambda t: t._indices(),
    "values": lambda t: t._values() if t.layout is torch.sparse_coo else t.values(),
    "crow_indices": lambda t: t.crow_indices(),
    "col_indices": lambda t: t.col_indices(),
    "ccol_indices": lambda t: t.ccol_indices(),
    "row_indices": lambda t: t.row_indices(),
}


@pytest.mark.parametrize("container", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(4, 6), (2, 4, 6)])
def test_sparse_tensors(tmp_path: Path, layout: str, container: str, shape: tuple[int, ...]) -> None:
    dense = torch.zeros(4, 6)
    dense[0, 1], dense[1, 2], dense[2, 5], dense[3, 0] = 1, 2, 3, 4
    dense = dense.expand(shape).contiguous()
    tensor = LAYOUTS[layout](dense)
    found = loaded(tensor, tmp_path / "a.pt", container).value
    assert isinstance(found, ComposedRecord)
    assert (found.layout, found.shape, found.dtype) == (layout, shape, dtypes.FLOAT32)
    assert "values" in found.components
    for name, record in found.components.items():
        part, right = from_record(name, record), READ[name](tensor)
        assert (part.shape, part.numpy().tolist()) == (tuple(right.shape), right.tolist())


def test_nested_tensors(tmp_path: Path) -> None:
    tensor = torch.nested.nested_tensor([torch.ones(2, 3), torch.zeros(1, 3)])
    found = loaded(tensor, tmp_path / "a.pt", "zip").value
    assert isinstance(found, ComposedRecord) and found.layout == "nested"
    parts = {name: from_record(name, record) for name, record in found.components.items()}
    assert parts["buffer"].numpy().tolist() == [1] * 6 + [0] * 3
    assert parts["sizes"].numpy().tolist() == [[2, 3], [1, 3]]


@pytest.mark.parametrize("container", ["zip", "legacy", "pickle"])
def test_meta_tensors_have_a_shape_and_no_elements(tmp_path: Path, container: str) -> None:
    found = loaded(torch.empty(2, 3, dtype=torch.float16, device="meta"), tmp_path / "a.pt", container).value
    assert isinstance(found, MetaRecord)
    assert (found.dtype, found.shape) == (dtypes.FLOAT16, (2, 3))


class Marked(torch.Tensor):
    pass


class Wrapping(torch.Tensor):
    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    def __init__(self, inner) -> None:
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return NotImplemented


@pytest.mark.parametrize("container", ["zip", "legacy"])
def test_subclasses_are_records(tmp_path: Path, container: str) -> None:
    marked = torch.arange(3.0).as_subclass(Marked)
    marked.note = "n"  # type: ignore[attr-defined]
    noted = torch.nn.Parameter(torch.ones(2))
    noted.rank = 3
    save({"m": marked, "p": noted, "w": Wrapping(torch.arange(4.0))}, tmp_path / "a.pt", container)
    found = load(FileSource(tmp_path / "a.pt"))
    assert {name.name for name in found.unknown} == {"Marked", "Wrapping"}
    assert not found.called
    value = found.value
    assert isinstance(value, dict)
    assert isinstance(value["m"], SubclassRecord) and value["m"].state == {"note": "n"}
    assert_equal("m", value["m"].inner, torch.arange(3.0))
    assert value["p"].parameter and value["p"].state == {"rank": 3}
    assert_equal("p", value["p"], torch.ones(2))
    assert isinstance(value["w"], SubclassRecord) and value["w"].shape == (4,)
    assert_equal("w", value["w"].state["inner"], torch.arange(4.0))


@pytest.mark.parametrize("container", ["zip", "legacy", "pickle"])
def test_conjugated_negated_and_parameters(tmp_path: Path, container: str) -> None:
    numbers = torch.tensor([1 + 2j, 3 - 4j])
    state = {"conj": numbers.conj(), "neg": numbers.clone().conj().imag, "p": torch.nn.Parameter(torch.ones(2), False)}
    found = loaded(state, tmp_path / "a.pt", container).value
    for key in ("conj", "neg"):
        assert_equal(key, found[key], state[key])  # type: ignore[index]
    assert (found["p"].parameter, found["p"].requires_grad) == (True, False)  # type: ignore[index]


def test_plain_data_of_the_standard_library(tmp_path: Path) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    values = {
        "args": argparse.Namespace(lr=0.5),
        "at": datetime.datetime(2024, 2, 29, 12, 30, 1, 5, tzinfo=zone),
        "day": datetime.date(2024, 2, 29),
        "took": datetime.timedelta(days=1, seconds=2),
        "path": pathlib.PurePosixPath("/runs/1"),
        "queue": collections.deque([1, 2], maxlen=5),
        "count": collections.Counter("aab"),
        "default": collections.defaultdict(list, {"a": [1]}),
        "dtype": torch.float32,
        "device": torch.device("cuda", 1),
        "size": torch.Size([2, 3]),
        "scalar": np.float64(0.5),
        "objects": np.array(["a", None], object),
        "rng": np.random.RandomState(0).get_state(),
        "date": np.array(["2024-01-01"], "M8[D]"),
    }
    for container in ("zip", "legacy", "pickle"):
        found = loaded(values, tmp_path / "a.pt", container).value
        assert isinstance(found, dict)
        assert found["args"].states == [{"lr": 0.5}]
        assert found["at"] == PlainValue("datetime.datetime", "2024-02-29T12:30:01.000005 UTC+2:00:00")
        assert (str(found["day"]), str(found["took"]), str(found["path"])) == (
            "2024-02-29",
            "1 day, 0:00:02",
            "/runs/1",
        )
        assert (found["queue"], found["count"], found["default"]) == ([1, 2], {"a": 2, "b": 1}, {"a": [1]})
        assert (str(found["dtype"]), str(found["device"]), found["size"]) == ("torch.float32", "cuda:1", (2, 3))
        assert (found["scalar"], found["objects"].items) == (0.5, ["a", None])
        assert found["date"].dtype is None
        assert found["rng"][1].shape == (624,)


def test_source_text_of_modules_is_kept(tmp_path: Path) -> None:
    save(torch.nn.Linear(2, 1), tmp_path / "a.pt", "legacy")
    found = load(FileSource(tmp_path / "a.pt"))
    ((cls, (file, text)),) = found.sources.items()
    assert (str(cls), found.called) == ("torch.nn.modules.linear.Linear", frozenset())
    assert cls not in found.called
    assert file.endswith("linear.py") and "class Linear(Module)" in text


def everything(path: Path) -> object:
    """All tensors of a file as bytes."""
    value = load(FileSource(path)).value
    return {
        key: b"".join(map(bytes, from_record(str(key), record).chunks()))
        for key, record in (value.items() if isinstance(value, dict) else ())
        if isinstance(record, TensorRecord)
    }


@pytest.mark.parametrize("container", CONTAINERS)
def test_damaged_files_are_survived(tmp_path: Path, container: str) -> None:
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "a.pt"
    save({"w": torch.arange(6.0).reshape(2, 3), "t": torch.ones(2, 2).t()}, path, container)
    assert_survives(everything, path, exact=False)


@pytest.mark.parametrize(("option", "value"), [("compute_crc32", False), ("storage_alignment", 4096)])
def test_archives_of_every_setting(tmp_path: Path, option: str, value: object) -> None:
    settings = importlib.import_module("torch.utils.serialization.config").save
    before = getattr(settings, option)
    setattr(settings, option, value)
    try:
        found = loaded({"w": torch.arange(5.0), "v": torch.ones(3)}, tmp_path / "a.pt", "zip")
    finally:
        setattr(settings, option, before)
    assert_equal("w", found.value["w"], torch.arange(5.0))  # type: ignore[index]
    assert (found.version, found.big_endian, len(found.serialization_id)) == ("3", False, 40)
    extent = found.value["w"].storage.content.extent  # type: ignore[index]
    assert extent.offset % (4096 if option == "storage_alignment" else 64) == 0


def test_storages_of_big_endian_machines(tmp_path: Path) -> None:
    save({"w": torch.arange(4, dtype=torch.int32)}, tmp_path / "a.pt", "zip")
    with zipfile.ZipFile(tmp_path / "a.pt") as old, zipfile.ZipFile(tmp_path / "b.pt", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("/byteorder"):
                content = b"big"
            elif name.endswith("/data/0"):
                content = np.frombuffer(content, "<i4").astype(">i4").tobytes()
            new.writestr(name, content)
    right = torch.load(tmp_path / "b.pt", weights_only=True)
    assert right["w"].tolist() == [0, 1, 2, 3]
    assert_equal("w", load(FileSource(tmp_path / "b.pt")).value["w"], right["w"])  # type: ignore[index]
