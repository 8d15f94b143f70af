from __future__ import annotations

import numpy as np
import pytest

from panmodel.model.structure import training_told
from panmodel.model.tensor import ArrayTensor, Tensor
from panmodel.model.torch.skeleton import Branch, Key, Leaf, Node
from panmodel.model.torch.training import is_state_dict, is_training_key, state_dict_key, told, training_parts


def mapping(items: dict[Key, Node]) -> Branch:
    return Branch("dict", tuple(items.items()))


W = mapping({"w": Leaf("w")})


@pytest.mark.parametrize(
    ("checkpoint", "key"),
    [
        (W, ""),
        (mapping({"state_dict": W, "epoch": 1}), "state_dict"),
        (mapping({"model": W, "optimizer": mapping({"state": mapping({})})}), "model"),
        (mapping({"model": W, "net": W}), ""),
        (mapping({"model": W, "copy": W}), ""),
        (mapping({"model": W, "ema_model": mapping({"x": Leaf("x")})}), ""),
        (mapping({"model": W, "rng": mapping({"cpu": Leaf("rng.cpu")})}), "model"),
        (mapping({"model": mapping({"layer": W})}), ""),
        (mapping({"state_dict": mapping({})}), ""),
        (Branch("list", ((0, W),)), ""),
        (None, ""),
    ],
)
def test_the_state_dict_in_a_checkpoint(checkpoint: Node, key: str) -> None:
    assert state_dict_key(checkpoint) == key


def test_a_state_dict_may_hold_a_few_values() -> None:
    assert is_state_dict(mapping({"w": Leaf("w"), "count": 3}))
    assert is_state_dict(mapping({"w": Branch("quantized", (("data", Leaf("w")),))}))
    assert not is_state_dict(mapping({"w": Leaf("w"), "x": mapping({})}))
    assert not is_state_dict(mapping({0: Leaf("w")}))
    assert not is_state_dict(Branch("object", (("w", Leaf("w")),)))


TRAINING = """
    optimizer optim optimizer_state_dict last_optimizer_state optimizer_states G_optimizer lr_scheduler lr_schedulers
    scheduler_state_dict epoch start_epoch global_step step iteration iter loss best_loss val_loss best_acc amp_scaler
    grad_scaler rng_state cuda_rng_state callbacks loops extra_state best_prec1 metrics amp
    iter_num global_steps best_val_loss message_hub num_updates
"""
OTHERS = "model state_dict arch args hyper_parameters optical epochs_model config vocab"


def test_keys_of_training_runs() -> None:
    assert [key for key in TRAINING.split() if not is_training_key(key)] == []
    assert [key for key in OTHERS.split() if is_training_key(key)] == []
    assert not is_training_key(3)


def test_counters_may_lie_in_what_libraries_keep_them_in() -> None:
    mm = mapping({"meta": mapping({"epoch": 12, "iter": 1000}), "state_dict": W, "optimizer": mapping({"a": 1})})
    state, used = told(mm, {"w": ArrayTensor(np.zeros(1))})
    assert state is not None
    assert (state.epoch, state.step) == (12, 1000)
    assert {"meta.epoch", "meta.iter"} <= used
    inner = mapping({"train_iterator": mapping({"epoch": 3}), "val_loss": 2.0, "epoch": None})
    state, _ = told(mapping({"extra_state": inner, "iter_num": 7, "model": W}), {"w": ArrayTensor(np.zeros(1))})
    assert state is not None
    assert (state.epoch, state.step, state.loss) == (3, 7, 2.0)


def test_counters_may_be_tensors() -> None:
    tensors: dict[str, Tensor] = {
        "loss": ArrayTensor(np.array(0.5, np.float32)),
        "global_step": ArrayTensor(np.array([12], np.int64)),
        "w": ArrayTensor(np.zeros(3, np.float32)),
    }
    root = mapping({"model": W, "loss": Leaf("loss"), "global_step": Leaf("global_step"), "epoch": 2})
    state, used = told(root, tensors)
    assert state is not None
    assert (state.epoch, state.step, state.loss) == (2, 12, 0.5)
    assert state.names == {"loss", "global_step"}
    assert used == {"loss", "global_step", "epoch"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "7", 2.5, None])
def test_what_is_no_count_is_none(value: Node) -> None:
    state, used = told(mapping({"epoch": value, "model": W}), {"w": ArrayTensor(np.zeros(1))})
    assert state is not None
    assert (state.epoch, used) == (None, frozenset())


def test_a_state_dict_alone_has_no_training() -> None:
    tensors: dict[str, Tensor] = {"step": ArrayTensor(np.zeros(1)), "loss": ArrayTensor(np.zeros(1))}
    assert told(mapping({"step": Leaf("step"), "loss": Leaf("loss")}), tensors) == (None, frozenset())
    assert told(Leaf("step"), tensors) == (None, frozenset())


def test_buffers_integers_and_ties_take_no_slot() -> None:
    weight = ArrayTensor(np.zeros(3, np.float32))
    tensors: dict[str, Tensor] = {
        "bn.running_mean": ArrayTensor(np.zeros(3, np.float32)),
        "ids": ArrayTensor(np.zeros(3, np.int64)),
        "a": weight,
        "b": weight,
        "c": ArrayTensor(np.zeros(2, np.float32)),
        "m0": ArrayTensor(np.zeros(3, np.float32)),
        "m1": ArrayTensor(np.zeros(2, np.float32)),
    }
    model = mapping({name: Leaf(name) for name in ("bn.running_mean", "ids", "a", "b", "c")})
    slots = mapping({0: mapping({"momentum_buffer": Leaf("m0")}), 1: mapping({"momentum_buffer": Leaf("m1")})})
    groups = Branch("list", ((0, mapping({"params": Branch("list", ((0, 0), (1, 1)))})),))
    root = mapping({"model": model, "optimizer": mapping({"state": slots, "param_groups": groups})})
    state, _ = told(root, tensors)
    assert state is not None
    assert state.slots == {"a": {"momentum_buffer": tensors["m0"]}, "c": {"momentum_buffer": tensors["m1"]}}
    assert (state.optimizer, state.names) == ("sgd", {"m0", "m1"})


def test_copies_that_are_averaged_take_no_slot() -> None:
    tensors: dict[str, Tensor] = {name: ArrayTensor(np.zeros(3)) for name in ("model.w", "model_ema.w", "m")}
    groups = Branch("list", ((0, mapping({"params": Branch("list", ((0, 0),))})),))
    optimizer = mapping({"state": mapping({0: mapping({"m": Leaf("m")})}), "param_groups": groups})
    both = {"model": mapping({"w": Leaf("model.w")}), "model_ema": mapping({"w": Leaf("model_ema.w")})}
    state, _ = told(mapping({**both, "optimizer": optimizer}), tensors)
    assert state is not None
    assert list(state.slots) == ["model.w"]


def test_slots_that_do_not_fit_keep_their_number() -> None:
    tensors: dict[str, Tensor] = {"w": ArrayTensor(np.zeros(4)), "m": ArrayTensor(np.zeros(3))}
    groups = Branch("list", ((0, mapping({"params": Branch("list", ((0, 0),))})),))
    optimizer = mapping({"state": mapping({0: mapping({"m": Leaf("m")})}), "param_groups": groups})
    state, _ = told(mapping({"model": W, "optimizer": optimizer}), tensors)
    assert state is not None
    assert list(state.slots) == ["0"]


def test_objects_of_training_belong_to_it_whatever_their_key_is() -> None:
    loader = Branch("object", (("x", Leaf("x")),), "torch.utils.data.dataloader.DataLoader")
    other = Branch("object", (("y", Leaf("y")),), "my.Data")
    parts = {"model": W, "train": loader, "both": Branch("list", ((0, loader), (1, loader))), "data": other}
    mixed: dict[Key, Node] = {**parts, "mixed": Branch("list", ((0, loader), (1, other))), "none": Branch("list", ())}
    found = [path for path, _ in training_parts(mapping(mixed))]
    assert found == [("train",), ("both",)]


def test_names_alone_tell_the_slots_of_an_optimizer() -> None:
    def scalar(value: float) -> Tensor:
        return ArrayTensor(np.array(value, np.float32))

    wide: Tensor = ArrayTensor(np.zeros(3, np.float32))
    slots = {f"optimizer.state.{index}.{slot}": wide for index in (0, 1) for slot in ("exp_avg", "exp_avg_sq")}
    there = {"weight": wide, "bias": wide, **slots, "optimizer.state.0.step": scalar(4)}
    there["optimizer.param_groups.0.lr"] = scalar(0.5)
    state = training_told(there, None)
    assert state is not None
    assert (state.step, state.optimizer, list(state.slots)) == (4, "adam", ["0", "1"])
    assert state.names == there.keys() - {"weight", "bias"}
    assert state.counters == {"step": there["optimizer.state.0.step"]}
    listed = {f"optimizer_states.{at}.state.layer.weight.momentum_buffer": wide for at in (0, 1)}
    more = training_told({"layer.weight": wide, **listed}, None)
    assert more is not None
    assert more.hyperparameters == {}
    assert list(more.slots) == ["optimizer_states.0.layer.weight", "optimizer_states.1.layer.weight"]


@pytest.mark.parametrize(
    "name", ["rnn.state.0.exp_avg", "optimizer.state.0.weight", "optimizer.state.exp_avg", "state.0.sum"]
)
def test_other_names_tell_no_optimizer(name: str) -> None:
    tensor: Tensor = ArrayTensor(np.zeros(3, np.float32))
    assert training_told({"weight": tensor, name: tensor}, None) is None
