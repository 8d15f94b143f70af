from __future__ import annotations

import time

import pytest

from panmodel import dtypes
from panmodel.errors import LimitError, UnsupportedError
from panmodel.limits import Limits
from panmodel.model.torch.checkpoint import contents, state_dict_of, training_state
from panmodel.wire.torch_records import StorageRecord, TensorRecord

STORAGE = StorageRecord("0", "a/data/0", dtypes.FLOAT32, "cpu", 16)


def record(*shape: int) -> TensorRecord:
    return TensorRecord(STORAGE, dtypes.FLOAT32, 0, shape, (1,) * len(shape))


def test_names_are_paths() -> None:
    found = contents({"a": {"b": record(1), 3: [record(2), None]}, "lr": 0.5, (1, 2): b"x"}, "a.pt")
    assert {name: tensor.shape for name, tensor in found.tensors.items()} == {"a.b": (1,), "a.3.0": (2,)}
    assert found.values == {"a.3.1": None, "lr": 0.5}
    assert found.opaque == ["a tuple"]


def test_two_tensors_of_one_name_are_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"named 'a\.b'"):
        contents({"a": {"b": record()}, "a.b": record()}, "a.pt")


def test_sharing_and_depth_are_bounded() -> None:
    shared: list[object] = []
    for _ in range(50):
        shared = [shared, shared]  # 2**50 paths
    with pytest.raises(LimitError):
        contents(shared, "a.pt", limits=Limits(tensors=1000))
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(LimitError):
        contents(endless, "a.pt")
    with pytest.raises(LimitError):
        contents({"k" * 1000: [0] * 1000}, "a.pt", limits=Limits(pickle_bytes=10_000))


@pytest.mark.parametrize(
    ("checkpoint", "key"),
    [
        ({"w": record()}, ""),
        ({"state_dict": {"w": record()}, "epoch": 1}, "state_dict"),
        ({"model": {"w": record()}, "optimizer": {"state": {}}}, "model"),
        ({"model": {"w": record()}, "net": {"w": record()}}, ""),
        ({"model": {"layer": {"w": record()}}}, ""),
        ({"state_dict": {}}, ""),
        ([record()], ""),
    ],
)
def test_the_state_dict_in_a_checkpoint(checkpoint: object, key: str) -> None:
    assert state_dict_of(checkpoint) == key


@pytest.mark.parametrize(
    ("slots", "settings", "kind"),
    [
        (("exp_avg", "exp_avg_sq"), {}, "adam"),
        (("exp_avg", "exp_avg_sq"), {"decoupled_weight_decay": True}, "adamw"),
        (("momentum_buffer",), {}, "sgd"),
        (("square_avg",), {}, "rmsprop"),
        (("sum",), {}, "adagrad"),
        (("other",), {}, ""),
    ],
)
def test_slots_tell_the_optimizer(slots: tuple[str, ...], settings: dict[str, object], kind: str) -> None:
    state = {0: {slot: record(4) for slot in slots}}
    checkpoint = {"model": {"w": record(4)}, "optim": {"state": state, "param_groups": [{**settings, "params": [0]}]}}
    found = contents(checkpoint, "a.pt", without_prefix="model")
    training, used = training_state(checkpoint, "model", found, found.tensors)  # type: ignore[arg-type]
    assert training is not None
    assert (training.optimizer, list(training.slots)) == (kind, ["w"])
    assert "optim.param_groups.0.params.0" in used


def test_slots_that_do_not_fit_keep_their_number() -> None:
    checkpoint = {
        "model": {"w": record(4)},
        "optimizer": {"state": {0: {"momentum_buffer": record(3)}}, "param_groups": [{"params": [0]}]},
    }
    found = contents(checkpoint, "a.pt", without_prefix="model")
    training, _ = training_state(checkpoint, "model", found, found.tensors)  # type: ignore[arg-type]
    assert training is not None
    assert list(training.slots) == ["0"]


def test_without_training_there_is_no_state() -> None:
    checkpoint = {"w": record()}
    assert training_state(checkpoint, "", contents(checkpoint, "a.pt"), {}) == (None, frozenset())


@pytest.mark.parametrize("kind", [list, tuple, lambda pair: dict(enumerate(pair))])
def test_containers_that_hold_each_other_twice_at_every_level(kind) -> None:
    value: object = [1]
    for _ in range(40):
        value = kind((value, value))
    begin = time.monotonic()
    with pytest.raises(LimitError):
        contents(value, "a.pt")
    assert time.monotonic() - begin < 3


def test_a_container_may_be_held_by_many() -> None:
    shared = [1, 2, 3]
    assert len(contents([shared] * 50_000, "a.pt").values) == 150_000
