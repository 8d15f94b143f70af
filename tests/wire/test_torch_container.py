from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections import OrderedDict

import pytest

from panmodel.errors import CorruptError, LimitError, TruncatedError
from panmodel.io.source import Extent, MemorySource
from panmodel.limits import Limits
from panmodel.wire.pickle import Global
from panmodel.wire.torch_container import begins_unmarked, container_of, load


def test_the_container_is_told_by_its_head() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", b"N.")
    assert container_of(buffer.getvalue()[:512]) == "zip"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as archive:
        archive.addfile(tarfile.TarInfo("pickle"))
    assert container_of(buffer.getvalue()[:512]) == "tar"
    assert container_of(pickle.dumps(0x1950A86A20F9469CFC6C, 2)) == "legacy"
    assert container_of(pickle.dumps({"a": 1})) == "pickle"
    assert container_of(b"") == "pickle"


@pytest.mark.parametrize("protocol", range(2))
@pytest.mark.parametrize("value", [{"a": 1}, [1, "b" * 600], (["a"],), OrderedDict(a=1), {"a" * 600: 2}])
def test_early_pickles_are_told_by_running_them(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert all(begins_unmarked(data[:size]) for size in (512, len(data)))
    assert not begins_unmarked(b"?" + data) and not begins_unmarked(b"(\xff" + data)


def test_plain_pickles_are_read_to_their_end() -> None:
    found = load(MemorySource(pickle.dumps({"a": [1, (2.5, None)]})))
    assert (found.kind, found.value, dict(found.unknown)) == ("pickle", {"a": [1, (2.5, None)]}, {})
    with pytest.raises(CorruptError, match="3 bytes follow the pickle that ends at 5, and are no further one"):
        load(MemorySource(pickle.dumps(1) + b"abc"))
    with pytest.raises(TruncatedError):
        load(MemorySource(b""))
    with pytest.raises(LimitError):
        load(MemorySource(pickle.dumps("x" * 100)), limits=Limits(pickle_bytes=50))


@pytest.mark.parametrize("size", [10, 1 << 21])  # held as a whole, and looked at through a window
@pytest.mark.parametrize("protocol", range(6))
def test_pickles_behind_each_other_are_a_list(protocol: int, size: int) -> None:
    values = [{"a": 1}, [bytes(size)], "text", {"a": 1}]
    found = load(MemorySource(b"".join(pickle.dumps(value, protocol) for value in values)))
    assert found.pickles == 4
    assert isinstance(found.value, list)
    texts, others = found.value[1], [found.value[index] for index in (0, 2, 3)]
    assert others == [values[0], values[2], values[3]]
    content = texts[0].read() if isinstance(texts[0], Extent) else texts[0]
    assert content == bytes(size)


def test_names_in_each_of_several_pickles_are_told() -> None:
    found = load(MemorySource(pickle.dumps({"a": 1}) + b"cos\nsystem\n)R." + b"cm\nC\n."))
    assert set(found.unknown) == {Global("os", "system"), Global("m", "C")}
    assert found.called == {Global("os", "system")}


def test_pickles_behind_each_other_are_bounded() -> None:
    with pytest.raises(LimitError, match="too many"):
        load(MemorySource(b"N." * 10_001))
    with pytest.raises(LimitError, match="too many or too large"):
        load(MemorySource(pickle.dumps([1] * 60) * 3), limits=Limits(pickle_opcodes=100))
    with pytest.raises(CorruptError, match="bytes follow the pickle that ends at 2, and are no further one"):
        load(MemorySource(b"N." + pickle.dumps([1] * 60)[:-9]))


def test_formats_have_names_of_their_own() -> None:
    data = b"cm\nC\n(K\x02tR."
    assert load(MemorySource(data)).called == {Global("m", "C")}
    found = load(MemorySource(data), also={Global("m", "C"): lambda args: ["made", *args]})
    assert (found.value, dict(found.unknown)) == (["made", 2], {})


def test_files_within_pickles_are_bounded() -> None:
    data = pickle.dumps([1, 2], 3)
    for _ in range(4):
        data = b"\x80\x03ctorch.storage\n_load_from_bytes\nB" + len(data).to_bytes(4, "little") + data + b"\x85R."
    assert load(MemorySource(data)).value == [1, 2]
    deeper = b"\x80\x03ctorch.storage\n_load_from_bytes\nB" + len(data).to_bytes(4, "little") + data + b"\x85R."
    with pytest.raises(LimitError, match="over 4 deep"):
        load(MemorySource(deeper))


def test_names_in_files_within_pickles_are_told() -> None:
    inner = b"cos\nsystem\n)R."
    data = b"\x80\x03ctorch.storage\n_load_from_bytes\nC" + bytes([len(inner)]) + inner + b"\x85R."
    found = load(MemorySource(data))
    assert (set(found.unknown), found.called) == ({Global("os", "system")}, {Global("os", "system")})
