import time

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

    def namesake(self, full_name, name, value=(0.0, 0.0)):
        """A variable whose full name others have as well."""
        number = self.variable(name, value)
        self.nodes[number] = TrackedObject(attributes=(Attribute("VARIABLE_VALUE", full_name, name),))
        return number

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


def test_lists_of_slots_in_the_order_of_the_weights():
    made = Objects()
    shapes = {"a": (2,), "b": (3,)}
    weights = [made.variable(f"opt/{n}", np.zeros(shape)) for n, shape in shapes.items()]
    lists = {
        child: [made.variable(f"adam/{end}_{n}", np.ones(shape)) for n, shape in shapes.items()]
        for child, end in {"_momentums": "m", "_velocities": "v", "_model_variables_moving_average": "avg"}.items()
    }
    rows = made.list_of(*[made.variable(f"adam/r_{n}", np.ones(7)) for n in shapes])
    count = made.variable("adam/iteration", 3, np.int64)
    state = made.state(
        opt=made.object(
            _trainable_variables=made.list_of(*weights),
            _variables=made.list_of(count, *[number for numbers in lists.values() for number in numbers]),
            _iterations=count,
            _r=rows,
            **{child: made.list_of(*numbers) for child, numbers in lists.items()},
        )
    )
    assert {slot: tensor.shape for slot, tensor in state.slots["opt/b"].items()} == {
        "momentum": (3,), "velocity": (3,), "average": (3,),
    }  # fmt: skip
    assert state.slots["opt/a"]["velocity"] is made.tensors["adam/v_a"]
    assert (state.step, state.optimizer) == (3, "adam")


def test_single_numbers_in_the_place_of_slots_are_no_weights():
    made = Objects()
    rows = [made.variable("Adafactor/r/w", [1.0]), made.variable("opt/_r/1", 0, np.int32)]
    count, bias = made.variable("iteration", 3, np.int64), made.variable("b")
    weights = {"w": made.variable("w", np.zeros((1, 2))), "b": bias}
    made_list = made.list_of(bias)  # a list of an optimizer may hold what is a weight
    variables = made.list_of(count, rows[0])
    state = made.state(
        opt=made.object(_variables=variables, _iterations=count, _r=made.list_of(*rows), kept=made_list), **weights
    )
    assert set(made.tensors) - state.names == {"w", "b"}


def same_names(made, shape=(2,)):
    """Two models that call their weights alike, and the lists of an optimizer; gives the state."""
    first, second = (made.namesake("d/kernel", f"{n}/kernel") for n in "ab")
    slots = [made.namesake(f"Adam/{s}/d/kernel", f"o/{s}{n}", np.ones(shape)) for n in range(2) for s in "mv"]
    count = made.variable("iteration", 3, np.int64)
    layers = made.object(one=made.object(kernel=first), two=made.object(kernel=second))
    return made.state(opt=made.object(_variables=made.list_of(count, *slots), _iterations=count), model=layers)


def test_weights_of_one_name_have_slots_in_their_order():
    made = Objects()
    state = same_names(made)
    assert {weight: list(slots.values()) for weight, slots in state.slots.items()} == {
        f"{n}/kernel": [made.tensors[f"o/{s}{place}"] for s in "mv"] for place, n in enumerate("ab")
    }
    assert same_names(Objects(), shape=(3,)).slots == {}


def test_slots_that_tell_no_weight_are_in_the_order_of_the_weights():
    made = Objects()
    weights = [made.namesake("net/kernel", f"net/{n}", np.zeros(n + 1)) for n in range(3)]
    names = [f"adam/net_dense_{n}_kernel_{slot}" for n in range(3) for slot in ("momentum", "velocity")]
    slots = [made.variable(name, np.ones(int(name.split("_")[2]) + 1)) for name in names]
    sums = [made.namesake("adam/accumulator", f"sum{n}", np.ones(n + 1)) for n in range(3)]
    odd = made.namesake("adam/average", "odd", np.ones(1))  # one for three weights
    count = made.variable("adam/iteration", 3, np.int64)
    listed = made.list_of(count, *slots, *sums, odd)
    state = made.state(
        opt=made.object(_trainable_variables=made.list_of(*weights), _variables=listed, _iterations=count)
    )
    for n in range(3):
        assert state.slots[f"net/{n}"] == {
            "momentum": made.tensors[names[2 * n]],
            "velocity": made.tensors[names[2 * n + 1]],
            "accumulator": made.tensors[f"sum{n}"],
        }


def test_what_a_backup_of_a_run_counts_is_no_weight():
    made = Objects()
    count = made.variable("iteration", 3, np.int64)
    counters = {name: made.variable(name, 1, np.int64) for name in ("ckpt_saved_epoch", "train_counter")}
    state = made.state(w=made.variable("w"), opt=made.object(_iterations=count, _variables=count), **counters)
    assert set(made.tensors) - state.names == {"w"}
    assert (state.step, state.epoch) == (3, None)


def test_slots_without_the_name_of_an_optimizer():
    made = Objects()
    weight = made.variable("a/kernel")
    slots = made.list_of(made.variable("m/a/kernel"), made.variable("v/a/kernel"))
    state = made.state(w=weight, opt=made.object(_variables=slots, _iterations=made.variable("iteration", 1, int)))
    assert set(state.slots["a/kernel"]) == {"m", "v"}
    assert state.optimizer == "adam"


def test_the_optimizer_inside_one_that_scales_the_loss():
    made = Objects()
    weights = made.list_of(made.variable("w"))
    inner_count, slot = made.variable("adam_w_2/iteration", 4, np.int64), made.variable("scale/adam_1/w_momentum")
    inner = made.object(
        _iterations=inner_count,
        _learning_rate=made.variable("adam_w_2/learning_rate", 0.5),
        _trainable_variables=weights,
        _variables=made.list_of(inner_count, slot),
        _momentums=made.list_of(slot),
    )
    outer = made.object(
        inner_optimizer=inner,
        _iterations=made.variable("scale/iteration", 0, np.int64),
        _learning_rate=made.variable("scale/learning_rate", 0.0),
        dynamic_scale=made.variable("scale/dynamic_scale", 8.0),
    )
    state = made.state(opt=outer)
    assert (state.step, state.optimizer) == (4, "adamw")
    assert state.hyperparameters == {"learning_rate": 0.5, "dynamic_scale": 8.0}
    assert state.slots == {"w": {"momentum": made.tensors["scale/adam_1/w_momentum"]}}
    assert state.names == made.tensors.keys() - {"w"}


def test_what_is_measured_is_no_weight():
    made = Objects()
    metric = made.object(total=made.variable("total", 1.0), count=made.variable("count", 2.0))
    metrics = made.object(metrics=made.list_of(metric))
    state = made.state(keras_api=metrics, w=made.variable("w"), step=made.variable("s", 5, np.int64))
    assert state.names == {"total", "count", "s"}


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


def test_the_time_of_a_long_list_grows_with_its_length():
    made, number = Objects(), 60_000
    weights = [made.variable(f"dense_{index}") for index in range(number)]
    slots = [made.variable(f"adam/dense_{index}_m") for index in range(number)]
    listed = made.list_of(*weights, *slots)
    optimizer = made.object(_trainable_variables=made.list_of(*weights), _variables=listed, iterations=0)
    begin = time.process_time()
    state = made.state(opt=optimizer)
    assert time.process_time() - begin < 30
    assert len(state.slots) == number


def test_weights_alone_are_no_training():
    made = Objects()
    assert made.state(w=made.variable("w"), step=made.variable("s", 0.5)) is None
    assert made.state(layer=made.object(momentum=made.variable("momentum", 0.9))) is None
