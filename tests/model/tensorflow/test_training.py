import numpy as np
import pytest

from panmodel.model.tensor import ArrayTensor
from panmodel.model.tensorflow.training import training_state


def tensors(**named):
    return {name: ArrayTensor(np.asarray(array), name) for name, array in named.items()}


def variables(*names, shape=(2, 3)):
    return tensors(**{name: np.zeros(shape, np.float32) for name in names})


def names_of(state):
    return {variable: {slot: tensor.name for slot, tensor in slots.items()} for variable, slots in state.slots.items()}


def test_adam_with_its_step():
    found = variables("a/w", "a/w/Adam", "a/w/Adam_1", "b") | tensors(
        global_step=np.int64(12), beta1_power=np.float32(0.25), beta2_power=np.float32(0.5)
    )
    state = training_state(found)
    assert (state.step, state.optimizer) == (12, "adam")
    assert state.hyperparameters == {"beta1_power": 0.25, "beta2_power": 0.5}
    assert names_of(state) == {"a/w": {"m": "a/w/Adam", "v": "a/w/Adam_1"}}


@pytest.mark.parametrize(
    ("slots", "optimizer", "expected"),
    [
        (["w/Momentum"], "momentum", {"momentum": "w/Momentum"}),
        (["w/RMSProp", "w/RMSProp_1"], "rmsprop", {"rms": "w/RMSProp", "momentum": "w/RMSProp_1"}),
        (
            ["w/RMSProp", "w/RMSProp_1", "w/RMSProp_2"],
            "rmsprop",
            {"rms": "w/RMSProp", "mg": "w/RMSProp_1", "momentum": "w/RMSProp_2"},
        ),
        (["w/Ftrl", "w/Ftrl_1"], "ftrl", {"accum": "w/Ftrl", "linear": "w/Ftrl_1"}),
        (["w/Adagrad"], "adagrad", {"accumulator": "w/Adagrad"}),
        (["w/adam_m", "w/adam_v"], "adam", {"m": "w/adam_m", "v": "w/adam_v"}),
        (["train/w/Adam", "train/w/Adam_1"], "adam", {"m": "train/w/Adam", "v": "train/w/Adam_1"}),
        (
            ["w/Adam", "w/Adam_1", "w/Adam_2", "w/Adam_3"],
            "adam",
            {"m": "w/Adam", "v": "w/Adam_1", "m_1": "w/Adam_2", "v_1": "w/Adam_3"},
        ),
    ],
)
def test_slots_have_the_names_that_the_optimizer_gives_them(slots, optimizer, expected):
    state = training_state(variables("w", *slots))
    assert state.optimizer == optimizer
    assert names_of(state) == {"w": expected}


def test_a_name_alone_makes_no_slot():
    assert training_state(variables("Adam", "x/Adam", "w", "w/Adams", "w/adam")) is None
    assert training_state(variables("w") | variables("w/Adam", shape=(2, 4))) is None


def test_a_step_alone_is_training_state():
    assert training_state(variables("w") | tensors(**{"train/global_step": np.int64([7])})).step == 7


def test_two_steps_leave_it_open():
    steps = tensors(**{"a/global_step": np.int64(1), "b/global_step": np.int64(2)})
    state = training_state(variables("w") | steps)
    assert state.step is None
    assert state.names == set(steps)


@pytest.mark.parametrize("steps", [1, 30, 500, 20_000])
def test_without_a_global_step_the_powers_of_the_betas_tell(steps):
    one, two = np.float32(0.9), np.float32(0.999)
    for _ in range(steps):
        one, two = one * np.float32(0.9), two * np.float32(0.999)
    state = training_state(variables("w", "w/Adam", "w/Adam_1") | tensors(beta1_power=one, beta2_power=two))
    assert state.step == steps


@pytest.mark.parametrize("powers", [(0.0, 0.0), (0.0, 0.2), (0.5, 0.5), (1.5, 0.9), (np.nan, np.nan)])
def test_powers_that_do_not_agree_tell_nothing(powers):
    one, two = np.float32(powers)
    state = training_state(variables("w", "w/Adam", "w/Adam_1") | tensors(beta1_power=one, beta2_power=two))
    assert state.step is None


def test_what_belongs_to_the_training_is_named():
    found = variables("a/w", "a/w/Adam", "a/w/Adam_1", "b", "b/ExponentialMovingAverage", "lr/w") | tensors(
        global_step=np.int64(12),
        **{
            "train/beta1_power": np.float32(0.25),
            "train/beta2_power": np.float32(0.5),
            "opt/learning_rate": np.float32(0.1),
            "scale/loss_scale": np.float32(8),
            "scale/good_steps": np.int32(3),
            "bad_steps": np.int32(1),
            "epoch": np.int32(2),
            "weight/scale": np.float32(1),
        },
    )
    state = training_state(found)
    assert (state.step, state.epoch, state.optimizer) == (12, 2, "adam")
    assert state.names == set(found) - {"a/w", "b", "lr/w", "weight/scale"}
    assert state.hyperparameters == pytest.approx(
        {
            "beta1_power": 0.25,
            "beta2_power": 0.5,
            "learning_rate": 0.1,
            "loss_scale": 8,
            "good_steps": 3,
            "bad_steps": 1,
        }
    )
    assert list(state.slots["b"]) == ["exponential_moving_average"]


def test_an_optimizer_of_keras_in_a_graph():
    found = variables("d/kernel", "training/Adam/d/kernel/m", "training/Adam/d/kernel/v") | tensors(
        **{"training/Adam/iter": np.int64(9), "training/Adam/beta_1": np.float32(0.5), "beta_1": np.float32(7)}
    )
    state = training_state(found)
    assert (state.step, state.optimizer, state.hyperparameters) == (9, "adam", {"beta_1": 0.5})
    assert set(state.slots["d/kernel"]) == {"m", "v"}
    assert state.names == set(found) - {"d/kernel", "beta_1"}


def test_the_settings_of_ftrl_are_no_weights():
    own = ("beta", "learning_rate_power", "l1_regularization_strength", "l2_regularization_strength")
    found = variables("d/beta", "training/Ftrl/d/beta/linear") | tensors(
        **{f"training/Ftrl/{name}": np.float32(0.5) for name in own}
    )
    state = training_state(found)
    assert state.hyperparameters == dict.fromkeys(own, 0.5)
    assert set(found) - state.names == {"d/beta"}


def test_powers_of_two_optimizers_are_told_apart():
    state = training_state(
        variables("w", "w/Adam") | tensors(**{"a/beta1_power": np.float32(0.5), "b/beta1_power": np.float32(0.25)})
    )
    assert state.hyperparameters == {"beta1_power": 0.5, "b/beta1_power": 0.25}
