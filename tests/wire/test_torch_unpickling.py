from __future__ import annotations

import pytest

from panmodel import dtypes
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.io.source import MemorySource
from panmodel.wire.pickle import Global
from panmodel.wire.torch_container import load
from panmodel.wire.torch_unpickling import StorageIdentity, storage_identity, storage_type

FLOATS = Global("torch", "FloatStorage")


def test_identities_of_storages_are_taken_apart() -> None:
    found = storage_identity(("storage", FLOATS, "0", "cuda:1", 3), "a.pt")
    assert (found, found.nbytes) == (StorageIdentity(dtypes.FLOAT32, "0", "cuda:1", 3), 12)
    view = storage_identity(("storage", Global("torch.storage", "UntypedStorage"), 7, "cpu", 9, ("8", 1, 8)), "a.pt")
    assert (view, view.nbytes) == (StorageIdentity(None, "7", "cpu", 9, ("8", 1, 8)), 9)


@pytest.mark.parametrize("identity", [
    None, "0", (), ("storage",), ("other", FLOATS, "0", "cpu", 3), ("storage", FLOATS, b"0", "cpu", 3),
    ("storage", FLOATS, "0", None, 3), ("storage", FLOATS, "0", "cpu", True), ("storage", FLOATS, "0", "cpu", -1),
    ("storage", FLOATS, "0", "cpu", 1 << 62), ("storage", FLOATS, "0", "cpu", 3, ("v", 2, 2)),
    ("storage", "FloatStorage", "0", "cpu", 3), ("storage", FLOATS, "0", "cpu", 3, None, None),
])  # fmt: skip
def test_identities_that_are_none_are_refused(identity: object) -> None:
    with pytest.raises(CorruptError):
        storage_identity(identity, "a.pt")


def test_foreign_storages_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match=r"os\.FloatStorage"):
        storage_type(Global("os", "FloatStorage"), "a.pt")


def test_names_are_told_by_what_becomes_of_them() -> None:
    found = load(MemorySource(b"(cm\nf\n)Rcm\nC\n)\x81cm\nmentioned\ncm\ng\nN\x85Rcm\nD\n)\x81)Rl."))
    assert [str(name) for name in found.unknown] == ["m.f", "m.C", "m.mentioned", "m.g", "m.D"]
    assert found.called == {Global("m", "f"), Global("m", "g"), Global("m", "D")}
    assert found.given == {Global("m", "g"), Global("m", "D")}


def test_names_in_files_within_a_pickle_are_names_of_the_whole() -> None:
    inner = b"(cos\nsystem\n)Rcown\nmentioned\nl."
    outer = b"(ctorch.storage\n_load_from_bytes\nC" + bytes([len(inner)]) + inner + b"\x85Rcown\noutside\nl."
    found = load(MemorySource(outer))
    assert {str(name) for name in found.unknown} == {"os.system", "own.mentioned", "own.outside"}
    assert found.called == {Global("os", "system")}


@pytest.mark.parametrize("package", [b"joblib", b"sklearn.externals.joblib"])
def test_files_of_joblib_are_not_called_damaged(package: bytes) -> None:
    wrapper = b"c" + package + b".numpy_pickle\nNumpyArrayWrapper\n)\x81}b"
    with pytest.raises(UnsupportedError, match="joblib") as caught:
        load(MemorySource(b"\x80\x04}" + wrapper + b"\xff\xff\0\0."))
    assert "numpy.savez" in str(caught.value)
    with pytest.raises(CorruptError):
        load(MemorySource(b"\x80\x04}" + wrapper.replace(b"joblib", b"other") + b"\xff\xff\0\0."))


def test_references_are_told_from_calls() -> None:
    partial = b"cfunctools\npartial\ncm\nf\n\x85R"
    found = load(MemorySource(partial + b"."))
    assert (found.referring, found.called) == ({Global("functools", "partial")}, set())
    found = load(MemorySource(partial + partial + b")R\x86."))
    assert found.called == found.recalled == {Global("functools", "partial")} and not found.referring
    found = load(MemorySource(b"cm\nC\nK\x01\x85Rcm\nD\n)R)R\x86."))
    assert found.given == {Global("m", "C"), Global("m", "D")} and found.recalled == {Global("m", "D")}
