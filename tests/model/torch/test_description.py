from __future__ import annotations

from panmodel import dtypes
from panmodel.model.torch.checkpoint import contents
from panmodel.model.torch.description import describe_file
from panmodel.wire.pickle import Dictionary, Global
from panmodel.wire.torch_container import Loaded
from panmodel.wire.torch_records import StorageBytes, StorageRecord, TensorRecord


def record(content: StorageBytes, location: str = "cpu") -> TensorRecord:
    return TensorRecord(StorageRecord("0", dtypes.FLOAT32, location, 16, content), dtypes.FLOAT32, 0, (2,), (1,))


def described(
    value: object, *, used: frozenset[str] = frozenset(), kind: str = "zip", **more: object
) -> dict[str, object]:
    return describe_file(Loaded(kind, value, {}, frozenset(), **more), contents(value, "a.pt"), used)  # type: ignore[arg-type]


def test_a_plain_file_says_little() -> None:
    assert described({"w": record(StorageBytes(16))}) == {"framework": "pytorch"}
    told = described({"w": record(StorageBytes(16))}, kind="legacy", version="1001")
    assert told == {"framework": "pytorch", "container": "legacy", "container_version": 1001}


def test_devices_and_shared_storages() -> None:
    shared = StorageBytes(16)
    told = described({"a": record(shared, "cuda:1"), "b": record(shared), "c": record(StorageBytes(16))})
    assert told["devices"] == ["cuda:1"]
    assert told["shared_storages"] == [["a", "b"]]


def test_values_that_the_training_state_does_not_tell() -> None:
    value = {"model": {"w": record(StorageBytes(16))}, "arch": "net", "epoch": 3, "optimizer": {"lr": 0.1}, "opt": 1}
    told = described(value, used=frozenset({"epoch", "optimizer"}))
    assert told["values"] == {"arch": "net", "opt": 1}
    assert told["state_dict"] == "model"


def test_wrappers_are_told_by_the_names() -> None:
    state = {"module.a": record(StorageBytes(16)), "module.b": record(StorageBytes(16))}
    assert described({"state_dict": state, "epoch": 1})["prefix"] == "module."
    assert described(state)["prefix"] == "module."
    assert described({"_orig_mod.a": record(StorageBytes(16))})["prefix"] == "_orig_mod."
    assert "prefix" not in described({**state, "other": record(StorageBytes(16))})


def test_versions_of_modules_and_sources() -> None:
    state = Dictionary({"w": record(StorageBytes(16))})
    state.attributes["_metadata"] = Dictionary({"bn": {"version": 2}})
    told = described(
        {"model": state}, sources={Global("my", "Net"): ("my.py", "class Net: ..."), Global("a", "B"): ("", "")}
    )
    assert told["modules"] == {"bn": {"version": 2}}
    assert told["sources"] == {"my.Net": "class Net: ..."}
