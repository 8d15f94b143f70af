from __future__ import annotations

import pickle
import struct

import pytest

from panmodel import dtypes
from panmodel.errors import CorruptError, TruncatedError
from panmodel.io.source import MemorySource
from panmodel.wire.pickle import Global, Object, PersistentId, dump
from panmodel.wire.torch_container import Loaded, load
from panmodel.wire.torch_legacy import is_legacy
from panmodel.wire.torch_records import TensorRecord

FLOATS, REBUILD = Global("torch", "FloatStorage"), Global("torch._utils", "_rebuild_tensor")


def tensor(key: str, count: int, shape: tuple[int, ...], view: object = None, kind: Global = FLOATS) -> Object:
    storage = PersistentId(("storage", kind, key, "cpu", count, view))
    return Object(REBUILD, (storage, 0, shape, tuple(1 for _ in shape)))


def packed(value: object, storages: dict[str, list[float]], system: object = None, keys: object = None) -> bytes:
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True} if system is None else system]
    parts = [pickle.dumps(part, 2) for part in head] + [dump(value), dump(list(storages) if keys is None else keys)]
    parts += [struct.pack(f"<q{len(numbers)}f", len(numbers), *numbers) for numbers in storages.values()]
    return b"".join(parts)


def loaded(*args: object, **more: object) -> Loaded:
    data = packed(*args, **more)  # type: ignore[arg-type]
    assert is_legacy(data[:64])
    return load(MemorySource(data, "a.pt"))


def test_storages_lie_behind_the_pickles_in_the_order_of_their_keys() -> None:
    value = {"a": tensor("1", 2, (2,)), "b": tensor("0", 3, (3,))}
    found = loaded(value, {"0": [1, 2, 3], "1": [4, 5]}, {"little_endian": False})
    assert (found.kind, found.version, found.big_endian) == ("legacy", "1001", False)
    assert isinstance(found.value, dict)
    for key, numbers in (("a", [4, 5]), ("b", [1, 2, 3])):
        record = found.value[key]
        assert isinstance(record, TensorRecord)
        assert struct.unpack(f"<{len(numbers)}f", record.storage.content.read()) == tuple(numbers)


def test_views_of_storages_share_its_bytes() -> None:
    value = [tensor("r", 4, (4,)), tensor("r", 4, (2,), ("v", 2, 2))]
    whole, view = loaded(value, {"r": [1, 2, 3, 4]}).value  # type: ignore[misc, attr-defined]
    assert view.storage.content is whole.storage.content
    assert (view.storage.key, view.storage.begin, view.storage.nbytes) == ("v", 8, 8)
    assert view.identity != whole.identity


@pytest.mark.parametrize("view", [("v", 3, 2), ("v", -1, 2), ("v", 0), ("v", True, 2), (None, 0, 1)])
def test_views_beyond_their_storage_are_refused(view: object) -> None:
    with pytest.raises(CorruptError, match="a view of a storage"):
        loaded([tensor("r", 4, (1,), view)], {"r": [1, 2, 3, 4]})


def test_tensors_beyond_the_view_of_a_storage_are_refused() -> None:
    with pytest.raises(CorruptError, match="reaches beyond the 2 elements"):
        loaded([tensor("r", 4, (3,), ("v", 0, 2))], {"r": [1, 2, 3, 4]})


def test_storages_are_what_was_said() -> None:
    value = [tensor("r", 2, (2,))]
    with pytest.raises(CorruptError, match="has 3 elements, 2 are expected"):
        loaded(value, {"r": [1, 2, 3]})
    with pytest.raises(CorruptError, match="1 storages are not there"):
        loaded(value, {})
    with pytest.raises(CorruptError, match="storage 'x' is there"):
        loaded(value, {"r": [1, 2]}, keys=["r", "x"])
    with pytest.raises(CorruptError, match="storage 'r' is there"):
        loaded(value, {"r": [1, 2]}, keys=["r", "r"])
    with pytest.raises(CorruptError, match="has 8 bytes, and 4 elsewhere"):
        loaded([*value, tensor("r", 1, (1,))], {"r": [1, 2]})
    with pytest.raises(TruncatedError):
        load(MemorySource(packed(value, {"r": [1, 2]})[:-1]))


def test_the_same_storage_of_another_type() -> None:
    value = [tensor("r", 2, (2,)), tensor("r", 2, (2,), kind=Global("torch", "IntStorage"))]
    first, second = loaded(value, {"r": [1, 2]}).value  # type: ignore[misc, attr-defined]
    assert (first.dtype, second.dtype) == (dtypes.FLOAT32, dtypes.INT32)
    assert first.storage.content is second.storage.content


def test_source_text_of_modules_is_kept_and_inert() -> None:
    cls = Global("nets", "Net")
    found = loaded(Object(PersistentId(("module", cls, "nets.py", "class Net: pass")), ()), {})  # type: ignore[arg-type]
    assert found.sources == {cls: ("nets.py", "class Net: pass")}
    assert set(found.unknown) == {cls}


def test_pickles_longer_than_the_first_look_are_read() -> None:
    found = loaded({"text": "x" * 3_000_000, "w": tensor("r", 1, (1,))}, {"r": [7]})
    assert isinstance(found.value, dict) and len(found.value["text"]) == 3_000_000  # type: ignore[arg-type]
    assert found.value["w"].storage.content.read() == struct.pack("<f", 7)  # type: ignore[attr-defined]


def test_what_lies_behind_the_storages_is_told() -> None:
    data = packed({"a": tensor("0", 1, (1,))}, {"0": [1]})
    assert load(MemorySource(data)).behind is None
    assert load(MemorySource(data + data)).behind == len(data)
