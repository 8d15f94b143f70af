from __future__ import annotations

import io
import pickle
import struct
import tarfile

import pytest

from panmodel.errors import CorruptError, LimitError
from panmodel.io.source import MemorySource
from panmodel.wire.pickle import Global, Object, PersistentId, dump
from panmodel.wire.torch_container import Loaded, load
from panmodel.wire.torch_records import TensorRecord

FLOATS, TENSOR = Global("torch", "FloatStorage"), Global("torch", "FloatTensor")
STORAGES = dump(1) + dump((10, "cpu", FLOATS)) + struct.pack("<q4f", 4, 1, 2, 3, 4) + dump([(11, 10, 1, 2)])


def tensors(storage: int, offset: int, shape: tuple[int, ...], rank: int | None = None) -> bytes:
    numbers = (*shape, *(1 for _ in shape), offset)
    head = struct.pack("<ii", len(shape) if rank is None else rank, 0)
    return dump(1) + dump((20, storage, TENSOR)) + head + struct.pack(f"<{len(numbers)}q", *numbers)


def loaded(value: object, **members: bytes) -> Loaded:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as archive:
        for name, content in ({"pickle": dump(value), "storages": STORAGES} | members).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return load(MemorySource(buffer.getvalue(), "a.tar"))


def test_tensors_and_storages_are_persistent_ids() -> None:
    value = {"t": PersistentId("20"), "s": PersistentId("10"), "m": PersistentId((Global("n", "Net"), "f", "text"))}
    found = loaded(value, tensors=tensors(10, 1, (3,)))
    assert found.kind == "tar"
    assert isinstance(found.value, dict)
    record = found.value["t"]
    assert isinstance(record, TensorRecord)
    assert (record.shape, record.offset, record.storage) == ((3,), 1, found.value["s"])
    assert record.storage.content.read() == struct.pack("<4f", 1, 2, 3, 4)
    assert found.sources == {Global("n", "Net"): ("f", "text")}
    assert set(found.unknown) == {Global("n", "Net")}


def test_views_of_storages_begin_later() -> None:
    record = loaded(PersistentId("20"), tensors=tensors(11, 1, (1,))).value
    assert isinstance(record, TensorRecord)
    assert (record.storage.begin, record.storage.nbytes, record.storage.content.nbytes) == (4, 8, 16)


def test_storages_named_in_place() -> None:
    storage = ("storage", FLOATS, "10", "cpu", 4)
    found = loaded(Object(Global("torch._utils", "_rebuild_tensor"), (storage, 0, (4,), (1,)))).value
    assert isinstance(found, TensorRecord) and found.storage.nbytes == 16


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(CorruptError, match="reaches beyond"):
        loaded(None, tensors=tensors(10, 2, (3,)))
    with pytest.raises(CorruptError, match="reaches beyond"):
        loaded(None, tensors=tensors(11, 0, (3,)))
    with pytest.raises(CorruptError, match="offset, shape and strides"):
        loaded(None, tensors=tensors(10, -1, (1,)))
    with pytest.raises(CorruptError, match="storage '12', which is not there"):
        loaded(None, tensors=tensors(12, 0, (1,)))
    with pytest.raises(LimitError, match="-1 dimensions"):
        loaded(None, tensors=tensors(10, 0, (1,), rank=-1))
    with pytest.raises(CorruptError, match="neither a tensor nor a storage"):
        loaded(PersistentId("99"))
    with pytest.raises(CorruptError, match="beyond its 4 elements"):
        loaded(None, storages=STORAGES[: -len(dump([(11, 10, 1, 2)]))] + dump([(11, 10, 3, 2)]))
    with pytest.raises(LimitError):
        loaded(None, storages=pickle.dumps(10**9, 2))
