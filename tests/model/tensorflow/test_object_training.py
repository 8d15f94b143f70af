import numpy as np
import pytest
from tests.object_checkpoints import FIXTURES

from panmodel.errors import LimitError
from panmodel.formats.tensorflow_checkpoint import FORMAT
from panmodel.io.source import Location
from panmodel.limits import Limits
from panmodel.model.tensor import ArrayTensor
from panmodel.model.tensorflow import object_training
from panmodel.model.tensorflow.object_training import object_training_state
from panmodel.model.tensorflow.objects import Attribute, Slot, TrackedObject


class Objects:
    """Builds objects one by one; the root is the first."""

    def __init__(self):
        self.nodes = [None]
        self.tensors = {}

    def variable(self, name, value=(0.0, 0.0), dtype=np.float32):
        self.tensors[name] = ArrayTensor(np.array(value, dtype))
        self.nodes.append(TrackedObject(attributes=(Attribute("VARIABLE_VALUE", name, name),)))
        return len(self.nodes) - 1

    def object(self, slots=(), **children):
        self.nodes.append(TrackedObject(tuple(children.items()), slots=tuple(Slot(*slot) for slot in slots)))
        return len(self.nodes) - 1

    def list_of(self, *numbers):
        self.nodes.append(TrackedObject(tuple((str(i), number) for i, number in enumerate(numbers))))
        return len(self.nodes) - 1

    def state(self, **children):
        self.nodes[0] = TrackedObject(tuple(children.items()))
        return object_training_state(self.nodes, self.tensors)


def test_slots_of_a_checkpoint_of_tensorflow():
    model = FORMAT.read(Location(FIXTURES / "slots.ckpt"))
    state = model.training
    assert (state.step, state.optimizer) == (2, "adam")
    assert state.hyperparameters == pytest.approx({"beta_1": 0.9, "beta_2": 0.999, "decay": 0.0, "learning_rate": 0.01})
    assert set(state.slots) == {
        "hidden/kernel", "hidden/bias", "norm/gamma", "norm/beta", "out/kernel", "out/bias",
    }  # fmt: skip
    for variable, slots in state.slots.items():
        assert set(slots) == {"m", "v", "vhat"}
        assert all(slot.shape == model.tensors[variable].shape for slot in slots.values())
        assert slots["m"] is model.tensors[f"Adam/{variable}/m"]
    assert set(model.weights) == {*state.slots, "norm/moving_mean", "norm/moving_variance"}


def test_the_list_of_variables_of_keras_3():
    model = FORMAT.read(Location(FIXTURES / "keras3.ckpt"))
    state = model.training
    assert (state.step, state.optimizer) == (2, "adam")
    assert state.hyperparameters == pytest.approx({"learning_rate": 0.01})
    for variable, slots in state.slots.items():
        assert {"momentum", "velocity"} <= set(slots)
        assert all(slot.shape == model.tensors[variable].shape for slot in slots.values())
    assert len(state.slots) == 6
    assert len(model.weights) == 8
    assert set(state.slots) < set(model.weights)
    # the same by position: after the step and the rate come the slots of the first weight
    weight = model.tensors["optimizer/_trainable_variables/0"]
    listed = next(name for name, tensor in model.tensors.items() if tensor is weight)
    assert model.tensors["optimizer/_variables/2"] is state.slots[listed]["momentum"]
    assert model.tensors["optimizer/_variables/3"] is state.slots[listed]["velocity"]


@pytest.mark.parametrize(
    ("slots", "kind"),
    [
        (["m", "v"], "adam"),
        (["momentum"], "momentum"),
        (["rms", "mg"], "rmsprop"),
        (["accumulator"], "adagrad"),
        (["accum_grad", "accum_var"], "adadelta"),
        (["accumulator", "linear"], "ftrl"),
        (["own"], ""),
    ],
)
def test_kinds_without_a_name(slots, kind):
    made = Objects()
    weight = made.variable("w")
    kept = [(weight, slot, made.variable(f"w_{slot}")) for slot in slots]
    state = made.state(w=weight, optimizer=made.object(kept))
    assert state.optimizer == kind
    assert set(state.slots["w"]) == set(slots)
    assert state.names == {f"w_{slot}" for slot in slots}


def test_lists_in_the_style_of_keras_2():
    made = Objects()
    weight = made.variable("dense/kernel")
    slots = made.list_of(made.variable("SGD/m/dense/kernel"), made.variable("SGD/odd"))
    count = made.variable("iteration", 7, np.int64)
    state = made.state(w=weight, opt=made.object(_variables=slots, _iterations=count))
    assert state.step == 7
    assert set(state.slots["dense/kernel"]) == {"m"}
    assert state.names == {"SGD/m/dense/kernel", "SGD/odd", "iteration"}


def test_counters_at_the_root():
    made = Objects()
    state = made.state(
        step=made.variable("s", 5, np.int64),
        epoch=made.variable("e", 2, np.int32),
        save_counter=made.variable("c", 9, np.int64),
        w=made.variable("w"),
    )
    assert (state.step, state.epoch) == (5, 2)
    assert state.names == {"s", "e", "c"}


def test_the_scale_of_the_loss():
    made = Objects()
    scale = made.object(dynamic_scale=made.variable("scale", 8.0), step_counter=made.variable("steps", 3, np.int32))
    state = made.state(opt=scale, w=made.variable("w"))
    assert state.hyperparameters == {"dynamic_scale": 8.0, "step_counter": 3}
    assert state.names == {"scale", "steps"}


def test_many_optimizers_with_long_lists_are_refused(monkeypatch):
    made = Objects()
    listed = made.list_of(*[made.variable(f"v{n}") for n in range(50)])
    count = made.variable("iteration", 7, np.int64)
    optimizers = {f"o{n}": made.object(_variables=listed, _iterations=count) for n in range(50)}
    monkeypatch.setattr(object_training, "DEFAULT", Limits(fields=1000))
    with pytest.raises(LimitError, match="more than 1000"):
        made.state(**optimizers)


def test_weights_alone_are_no_training():
    made = Objects()
    assert made.state(w=made.variable("w"), step=made.variable("s", 0.5)) is None
    assert made.state(layer=made.object(momentum=made.variable("momentum", 0.9))) is None
