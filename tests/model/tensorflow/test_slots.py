import time

import numpy as np
import pytest
from tests.checkpoints import Writer, box

from panmodel.formats.tensorflow_checkpoint import FORMAT
from panmodel.io.source import Location
from panmodel.model.tensor import ArrayTensor
from panmodel.model.tensorflow.slots import OPTIMIZERS, find_slots, slot_names

ROWS = np.arange(28, dtype=np.float32).reshape(7, 4)


def tensors(**shapes):
    return {name: ArrayTensor(np.zeros(shape, np.float32), name) for name, shape in shapes.items()}


def found(**shapes):
    return [(slot.variable, slot.kind, slot.number, slot.names) for slot in find_slots(tensors(**shapes))]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_names_its_slots(name):
    kind, order = OPTIMIZERS[name]
    shapes = {f"a/w/{name}" + (f"_{number}" if number else ""): (2,) for number in range(len(order))}
    slots = list(find_slots(tensors(**{"a/w": (2,)}, **shapes)))
    assert {(slot.variable, slot.kind) for slot in slots} == {("a/w", kind)}
    assert tuple(slot_names(slots)) == order


def test_scopes_come_first():
    assert found(**{"w": (2,), "train/x/w/Adam": (2,)}) == [("w", "adam", 0, ("train/x/w/Adam",))]


@pytest.mark.parametrize("name", ["Adam/a/w/m", "training/Adam/a/w/m", "training_1/Adam_2/a/w/m"])
def test_optimizers_of_keras_come_first(name):
    assert found(**{"a/w": (2,), name: (2,)}) == [("a/w", "adam", "m", (name,))]


@pytest.mark.parametrize(("slot", "shape"), [("vr", (3,)), ("vc", (2,)), ("v", (2, 3)), ("m", (2, 3))])
def test_adafactor_keeps_sums(slot, shape):
    assert found(**{"a/w": (2, 3), f"a/w_slot_{slot}": shape}) == [("a/w", "adafactor", slot, (f"a/w_slot_{slot}",))]


@pytest.mark.parametrize("name", ["w/Adam", "v/Adam", "Adam", "Adam/v/m", "v_slot_vr", "w_slot_vr", "w/Adam_01"])
def test_a_name_alone_makes_no_slot(name):
    assert found(**{"w": (2, 3), name: (4,)}) == []


def test_an_optimizer_of_any_other_name():
    shapes = {"a/w": (2, 3), "a/b": (3,), "a/w/OfG": (2, 3), "a/w/OfG_1": (2, 3), "a/b/OfG": (3,), "a/b/OfG_1": (3,)}
    slots = list(find_slots(tensors(**shapes, **{"a/w/Adam": (2, 3)})))
    assert slot_names([slot for slot in slots if slot.variable == "a/b"]).keys() == {"OfG", "OfG_1"}
    assert {slot.kind for slot in slots} == {"adam", ""}
    assert {name for slot in slots for name in slot.names} == (shapes.keys() | {"a/w/Adam"}) - {"a/w", "a/b"}


@pytest.mark.parametrize(
    "other",
    [
        {"norm/scale": (3,)},  # one alone
        {"norm/scale": (3,), "w/scale": (7,)},  # another shape
        {"norm/scale": (3,), "w/scale": (2,), "dense/scale": (2,)},  # one of no variable
    ],
)
def test_weights_within_the_scope_of_another_are_no_slots(other):
    assert found(norm=(3,), w=(2,), **other) == []


def test_names_made_to_take_long_do_not():
    count = 10_000
    names = [
        "Adam/" * count + "m",
        "w" + "/w" * count + "/Adam",
        "/1" * count + "/x/Momentum",
        "1" * 3 * count + "/Adam",
    ]
    began = time.process_time()
    assert found(**dict.fromkeys(names, (2,)), w=(2,)) == []
    assert time.process_time() - began < 10


def test_an_average_is_no_optimizer():
    (slot,) = find_slots(tensors(**{"w": (2,), "w/ExponentialMovingAverage": (2,)}))
    assert slot.kind == ""
    assert list(slot_names([slot])) == ["exponential_moving_average"]


@pytest.mark.parametrize("names", [["rt_{}", 0], ["part_{}", 0], ["{}", 0], ["x/emb/part_{}", 2]])
def test_slots_in_parts_are_put_together(names, tmp_path):
    pattern, first = names
    made = Writer(tmp_path).add("emb", ROWS)
    for number, (start, end) in enumerate([(0, 3), (3, 5), (5, 7)]):
        name = f"emb/{pattern.format(first + number)}/Momentum"
        made.add_slices(name, (7, 4), [(box((start, end - start), None), ROWS[start:end])])
    model = FORMAT.read(Location(made.write()))
    assert model.training.optimizer == "momentum"
    assert np.array_equal(model.training.slots["emb"]["momentum"].numpy(), ROWS)
    assert model.training.names == {f"emb/{pattern.format(first + number)}/Momentum" for number in range(3)}
    assert len(model.notices[0].names) == 3


def test_parts_of_which_some_are_missing_stay_incomplete(tmp_path):
    made = Writer(tmp_path).add("emb", ROWS)
    made.add_slices("emb/rt_1/Momentum", (7, 4), [(box((3, 2), None), ROWS[3:5])])
    slot = FORMAT.read(Location(made.write())).training.slots["emb"]["momentum"]
    assert not slot.is_complete
