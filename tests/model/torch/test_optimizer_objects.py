"""Whole optimizers; torch's own state dict is the form that they are brought to."""

from __future__ import annotations

from panmodel import dtypes
from panmodel.model.torch.checkpoint import contents
from panmodel.model.torch.optimizer import find_optimizers
from panmodel.model.torch.optimizer_objects import is_optimizer, state_dict
from panmodel.wire.pickle import Global, Object
from panmodel.wire.torch_records import StorageBytes, StorageRecord, TensorRecord

STORAGE = StorageRecord("0", dtypes.FLOAT32, "cpu", 16, StorageBytes(16))


def record() -> TensorRecord:
    return TensorRecord(STORAGE, dtypes.FLOAT32, 0, (1,), (1,))


def optimizer(state: object, groups: object) -> Object:
    held = {"defaults": {}, "state": state, "param_groups": groups}
    return Object(Global("torch.optim.adamw", "AdamW"), called=False, states=[held])


def test_parameters_are_numbered_in_the_order_of_the_groups() -> None:
    one, two, three = record(), record(), record()
    made = optimizer(
        {three: {"step": 1}, one: {"step": 2}}, [{"lr": 1, "params": [one, two]}, {"params": [three, one]}]
    )
    assert is_optimizer(made)
    groups = [{"lr": 1, "params": [0, 1]}, {"params": [2, 0]}]
    assert state_dict(made) == {"state": {2: {"step": 1}, 0: {"step": 2}}, "param_groups": groups}


def test_its_class_and_slots_are_found() -> None:
    weight = record()
    found = contents({"o": optimizer({weight: {"exp_avg": record()}}, [{"params": [weight]}])}, "a.pt")
    assert list(found.tensors) == ["o.state.0.exp_avg"]
    assert found.changed == {"whole optimizers as their state dicts": ["o"]}
    (there,) = find_optimizers(found.root)
    assert there.kind() == "adamw"


def test_other_objects_are_none() -> None:
    assert not is_optimizer(Object(Global("my", "Thing"), called=False, states=[{"state": {}}]))
    assert not is_optimizer(optimizer([], []))
    assert not is_optimizer(optimizer({}, [1]))
    assert not is_optimizer(optimizer({}, [{"lr": 1}]))
    assert not is_optimizer({"state": {}, "param_groups": []})
