import numpy as np

from panmodel.model.keras.named_training import told_by_numbers, told_by_paths
from panmodel.model.structure import training_told
from panmodel.model.tensor import ArrayTensor


def tensors(*names):
    made = {name: ArrayTensor(np.zeros((2, 3), np.float32)) for name in names}
    for name in made:
        if name.endswith("/iteration"):
            made[name] = ArrayTensor(np.int64(7))
        elif name.endswith("/learning_rate"):
            made[name] = ArrayTensor(np.float64(0.5))
    return made


OWN = ("adam/iteration", "adam/learning_rate", "adam/net_a_kernel_velocity_hat", "adam/net_a_kernel_momentum")


def test_paths_tell_step_rate_kind_and_slots():
    there = tensors("net/a/kernel", *OWN, "adam/net_b_momentum")
    state = training_told(there, None)
    assert (state.step, state.optimizer, state.hyperparameters) == (7, "adam", {"learning_rate": 0.5})
    assert state.slots == {"net/a/kernel": {"momentum": there[OWN[3]], "velocity_hat": there[OWN[2]]}}
    assert state.names == there.keys() - {"net/a/kernel"}
    assert state.counters == {"step": there["adam/iteration"]}


def test_a_slot_has_the_shape_of_its_weight():
    there = tensors("net/a/kernel", *OWN) | {"net/a/kernel": ArrayTensor(np.zeros(4))}
    assert told_by_paths(there).slots == {}


def test_other_names_tell_nothing():
    assert training_told(tensors("net/a/kernel", "net/iteration"), None) is None
    assert told_by_paths(tensors(*OWN, "sgd/iteration", "sgd/learning_rate")) is None
    counts = tensors(*OWN) | {"adam/iteration": ArrayTensor(np.zeros(3, np.int64))}
    assert told_by_paths(counts) is None


def test_numbers_tell_what_belongs_to_the_optimizer():
    there = tensors("layers/dense/vars/0", "optimizer/vars/1", "optimizer/vars/2", "optimizer/vars/3")
    there["optimizer/vars/0"] = ArrayTensor(np.int64(3))
    state = training_told(there, None)
    assert state.step == 3
    assert state.names == there.keys() - {"layers/dense/vars/0"}
    assert told_by_numbers({**there, "other": there["optimizer/vars/1"]}) is None
