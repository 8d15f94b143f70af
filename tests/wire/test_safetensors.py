from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.damage import assert_survives

from panmodel import dtypes
from panmodel.errors import CorruptError, LimitError, PanmodelError, TruncatedError, UnsupportedError
from panmodel.io.sink import Sink
from panmodel.io.source import FileSource, MemorySource
from panmodel.limits import DEFAULT, Limits
from panmodel.model.tensor import ArrayTensor, StoredTensor, Tensor
from panmodel.wire import safetensors
from panmodel.wire.safetensors import Header, looks_like, read_header, save


def stated(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(
    kind: str = "U8", shape: list[object] | None = None, begin: object = 0, end: object = 4
) -> dict[str, object]:
    return {"dtype": kind, "shape": [4] if shape is None else shape, "data_offsets": [begin, end]}


def header_of(data: bytes, **options: object) -> Header:
    return read_header(MemorySource(data, "a.safetensors"), **options)  # type: ignore[arg-type]


def test_a_file_is_read_in_the_order_of_its_data() -> None:
    data = stated({"b": tensor(begin=4, end=8), "__metadata__": {"k": "v"}, "a": tensor()}, b"aaaabbbb")
    header = header_of(data)
    assert [(entry.name, entry.extent.read()) for entry in header.entries] == [("a", b"aaaa"), ("b", b"bbbb")]
    assert header.metadata == {"k": "v"}


def test_metadata_that_is_null_is_none() -> None:
    assert header_of(stated({"__metadata__": None, "a": tensor()}, b"aaaa")).metadata == {}


@pytest.mark.parametrize(
    ("header", "data", "complaint"),
    [
        ({"a": tensor(begin=1, end=5)}, b"12345", "a hole"),
        ({"a": tensor(), "b": tensor(begin=3, end=7)}, b"1234567", "an overlap"),
        ({"a": tensor()}, b"12345", "1 bytes follow"),
        ({"a": tensor()}, b"123", "3.* 4 bytes are expected|ends at byte"),
        ({"a": tensor(shape=[5])}, b"1234", "needs 40 bits"),
        ({"a": tensor(begin=4, end=0)}, b"", "needs"),
        ({"a": tensor(shape=[True, 4])}, b"1234", "whole numbers"),
        ({"a": tensor(shape=[2.0, 2.0])}, b"1234", "whole numbers"),
        ({"a": tensor(shape=[-2, -2])}, b"1234", "whole numbers"),
        ({"a": tensor(begin=0, end="4")}, b"1234", "whole numbers"),
        ({"a": tensor(shape=[0, 1 << 40, 1 << 40], end=0)}, b"", "larger than can be addressed"),
        ({"a": tensor("U9")}, b"1234", "unknown dtype 'U9'"),
        ({"a": tensor("F4", [9])}, b"1234", "36 bits"),
        ({"a": {**tensor(), "more": 1}}, b"1234", "must have dtype, shape and data_offsets"),
        ({"a": []}, b"", "must have dtype"),
        ({"__metadata__": {"k": 1}}, b"", "strings to strings"),
        ({"__metadata__": []}, b"", "strings to strings"),
        ({"__metadata__": False}, b"", "strings to strings"),
        (b'{"a":' + json.dumps(tensor()).encode() + b',"a":' + json.dumps(tensor()).encode() + b"}", b"1234", "twice"),
        (b'{"__metadata__":{"k":"1","k":"2"}}', b"", "'k' appears twice"),
        (b' {"a":1}', b"", "does not begin with '{'"),
        (b"{", b"", "is not JSON"),
        (b'{"a":' + b"[" * 100_000, b"", "is not JSON"),
        (b'{"a":' + b"9" * 100_000 + b"}", b"", "is not JSON"),
        (b'{"\xff":1}', b"", "is not UTF-8"),
        (b'{"__metadata__":{"\\ud800":"v"}}', b"", "is not UTF-8"),
    ],
)
def test_a_broken_rule_is_refused(header: object, data: bytes, complaint: str) -> None:
    with pytest.raises(CorruptError, match=complaint):
        header_of(stated(header, data))


def test_lengths_are_checked_before_anything_is_read() -> None:
    with pytest.raises(LimitError):
        header_of(struct.pack("<Q", 1 << 63) + b"{}")
    with pytest.raises(TruncatedError):
        header_of(struct.pack("<Q", 1 << 20) + b"{}")
    with pytest.raises(TruncatedError):
        header_of(b"1234")
    with pytest.raises(LimitError, match="more than 2 tensors"):
        header_of(
            stated({str(index): tensor(begin=0, end=0, shape=[0]) for index in range(5)}), limits=Limits(tensors=2)
        )
    with pytest.raises(LimitError, match="65 dimensions"):
        header_of(stated({"a": tensor(shape=[1] * 65, end=1)}, b"1"))


def test_what_looks_like_one() -> None:
    assert looks_like(stated({"a": tensor()}, b"1234")[:9], 100)
    assert not looks_like(b"", 0)
    assert not looks_like(b"{" * 9, 100)
    assert not looks_like(struct.pack("<Q", 10) + b"[", 100)


DTYPES = sorted(dtypes.BY_SAFETENSORS.values(), key=lambda dtype: dtype.name)


@st.composite
def tensors(draw: st.DrawFn) -> dict[str, Tensor]:
    made: dict[str, Tensor] = {}
    for name in draw(st.lists(st.text().filter(lambda name: name != "__metadata__"), unique=True, max_size=5)):
        dtype = draw(st.sampled_from(DTYPES))
        shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
        if dtype.bits < 8:
            shape = (*shape, 4)
        size = int(np.prod(shape))
        codes = draw(st.binary(min_size=size * dtype.itemsize, max_size=size * dtype.itemsize))
        mask = (1 << dtype.bits) - 1 if dtype.bits < 8 else 0xFF
        array = (np.frombuffer(codes, np.uint8) & mask).view(dtype.numpy).reshape(shape)
        made[name] = ArrayTensor(array, name, dtype=dtype)
    return made


@given(tensors(), st.dictionaries(st.text(), st.text(), max_size=3))
def test_what_is_written_is_read_back_bit_by_bit(
    tmp_path_factory: pytest.TempPathFactory, written: dict[str, Tensor], metadata: dict[str, str]
) -> None:
    path = tmp_path_factory.mktemp("safetensors") / "a.safetensors"
    with Sink(path) as sink:
        save(written, sink.open(), metadata)
    header = read_header(FileSource(path))
    assert header.metadata == metadata
    assert {entry.name for entry in header.entries} == set(written)
    if header.entries:
        assert header.entries[0].extent.offset % 8 == 0
    for entry in header.entries:
        original, found = written[entry.name], StoredTensor(entry.name, entry.dtype, entry.shape, entry.extent)
        assert (found.dtype, found.shape) == (original.dtype, original.shape)
        assert found.numpy().tobytes() == original.numpy().tobytes()
        assert entry.extent.offset % max(entry.dtype.bits // 8, 1) == 0 or not original.nbytes


def test_what_the_format_lacks_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    texts = ArrayTensor(np.array([b"text"], object), "labels")
    wide = ArrayTensor(np.zeros(2, np.complex128), "spectrum")
    halves = ArrayTensor(np.zeros(3, dtypes.ALL["float4_e2m1fn"].numpy), "odd")
    for name, unwritable, complaint in (
        ("labels", texts, r"labels \(string\)"),
        ("spectrum", wide, r"spectrum \(complex128\)"),
        ("odd", halves, "ends within a byte"),
        ("__metadata__", ArrayTensor(np.zeros(1)), "for itself"),
        ("\ud800", ArrayTensor(np.zeros(1)), "no Unicode text"),
        ("a" * (DEFAULT.name_bytes + 1), ArrayTensor(np.zeros(1)), f"name of {DEFAULT.name_bytes + 1} characters"),
    ):
        with pytest.raises(UnsupportedError, match=complaint), Sink(tmp_path / "a.safetensors") as sink:
            save({name: unwritable}, sink.open(), {})
    assert list(tmp_path.iterdir()) == []


def test_a_header_may_be_as_long_as_the_format_allows_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {"w": ArrayTensor(np.zeros(2, np.float32))}
    with Sink(tmp_path / "a.safetensors") as sink:
        save(tensors, sink.open(), {})
    size = (tmp_path / "a.safetensors").stat().st_size - 8 - 8
    assert (
        len(read_header(FileSource(tmp_path / "a.safetensors"), limits=replace(DEFAULT, header_bytes=size)).entries)
        == 1
    )
    with pytest.raises(LimitError):
        read_header(FileSource(tmp_path / "a.safetensors"), limits=replace(DEFAULT, header_bytes=size - 1))
    monkeypatch.setattr(safetensors, "DEFAULT", replace(DEFAULT, header_bytes=size - 1))
    with pytest.raises(UnsupportedError, match=f"a header of {size} bytes"), Sink(tmp_path / "b.safetensors") as sink:
        save(tensors, sink.open(), {})
    assert not (tmp_path / "b.safetensors").exists()


def test_damage_ends_in_own_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with Sink(path) as sink:
        arrays = {"weight": np.arange(12, dtype=np.float32).reshape(3, 4), "bias": np.zeros(3, np.float16)}
        save({name: ArrayTensor(array) for name, array in arrays.items()}, sink.open(), {"format": "pt"})

    def read_all(copy: Path) -> list[bytes]:
        entries = read_header(FileSource(copy)).entries
        return [StoredTensor(e.name, e.dtype, e.shape, e.extent).numpy().tobytes() for e in entries]

    assert_survives(read_all, path)
    for place in range(path.stat().st_size):
        with pytest.raises(PanmodelError):
            read_header(MemorySource(path.read_bytes()[:place]))
