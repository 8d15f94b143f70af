import time

import numpy as np
import pytest

from panmodel.model.keras.slots import is_interleaved, slots_by_name, slots_by_order
from panmodel.model.tensor import ArrayTensor

SHAPES = {"dense/kernel": (2, 3), "dense/bias": (3,)}


def tensors(**shapes):
    return {name: ArrayTensor(np.zeros(shape, np.float32), name) for name, shape in shapes.items()}


WEIGHTS = tensors(**{f"{name}:0": shape for name, shape in SHAPES.items()})


def named(found):
    return {weight: {slot: tensor.name for slot, tensor in slots.items()} for weight, slots in found.items()}


@pytest.mark.parametrize(
    "pattern",
    ["Adam/{}/m:0", "training_4/Adam/{}/m:0", "Adam/m/{}:0", "m/{}:0", "adam/{}_m", "scale/adam/{}_m"],
)
def test_names_tell_weights_and_slots(pattern):
    flat = {weight: pattern.format(weight if "/m" in pattern or "m/" in pattern else weight.replace("/", "_"))
            for weight in SHAPES}  # fmt: skip
    found = slots_by_name(WEIGHTS, tensors(iteration=(), **{flat[weight]: shape for weight, shape in SHAPES.items()}))
    assert named(found) == {f"{weight}:0": {"m": name} for weight, name in flat.items()}


def test_a_slot_of_several_words():
    found = slots_by_name(WEIGHTS, tensors(**{"adam/dense_kernel_velocity_hat": (2, 3)}))
    assert named(found) == {"dense/kernel:0": {"velocity_hat": "adam/dense_kernel_velocity_hat"}}


def test_sums_of_rows_have_another_shape():
    assert slots_by_name(WEIGHTS, tensors(**{"Adafactor/r/dense/kernel:0": (2,)}))


@pytest.mark.parametrize(
    "variables",
    [
        {"Adam/m/dense/kernel:0": (3, 2)},  # another shape
        {"Adam/m/dense/kernel:0": (2, 3), "Adam/m/other:0": (3,)},  # of no weight
        {"Adam/m/dense/kernel:0": (2, 3), "m/dense/kernel:0": (2, 3)},  # twice
        {"iteration": ()},
        {"m/" * 5000 + "dense/kernel": (2, 3)},
    ],
)
def test_names_that_do_not_tell(variables):
    assert slots_by_name(WEIGHTS, tensors(**variables)) is None


def test_names_that_two_weights_share_tell_nothing():
    weights = tensors(**{"a_b/c": (3,), "a/b_c": (3,)})
    assert slots_by_name(weights, tensors(**{"adam/a_b_c_m": (3,)})) is None


def in_order(kind, slots, **settings):
    shapes = [(), (), *slots]
    values = [ArrayTensor(np.zeros(shape, np.float32), str(place)) for place, shape in enumerate(shapes)]
    return slots_by_order([WEIGHTS], values, kind, settings, interleaved=True)


def test_settings_tell_what_the_slots_are():
    block, pairs = [(2, 3), (3,)], [(2, 3), (2, 3), (3,), (3,)]
    head, found = in_order("adam", block + pairs, use_ema=True)
    assert head == ("iteration", "learning_rate")
    assert named(found)["dense/bias:0"] == {"average": "3", "momentum": "6", "velocity": "7"}
    _, found = in_order("adam", pairs + block, amsgrad=True)
    assert named(found)["dense/bias:0"] == {"momentum": "4", "velocity": "5", "velocity_hat": "7"}
    _, found = in_order("rmsprop", block * 2, centered=True, momentum=0.0)
    assert named(found)["dense/kernel:0"] == {"velocity": "2", "average_gradient": "4"}
    _, found = in_order("sgd", block * 2, gradient_accumulation_steps=4, momentum=0.9)
    assert named(found)["dense/kernel:0"] == {"gradient_accumulator": "2", "momentum": "4"}
    assert in_order("adam", pairs + block) is None


def test_a_running_product_is_no_slot():
    _, found = in_order("nadam", [(2, 3), (2, 3), (3,), (3,), ()])
    assert named(found)["dense/bias:0"] == {"momentum": "4", "velocity": "5"}


def test_muon_keeps_a_velocity_of_some_weights():
    _, found = in_order("muon", [(2, 3), (3,), (3,)])
    assert named(found) == {"dense/kernel:0": {"momentum": "2"}, "dense/bias:0": {"momentum": "3", "velocity": "4"}}
    _, found = in_order("muon", [(2, 3), (3,), (2, 3), (2, 3), (3,), (3,)], use_ema=True)  # a kernel left to Adam
    assert named(found)["dense/kernel:0"] == {"average": "2", "momentum": "4", "velocity": "5"}
    assert in_order("muon", [(2, 3), (3,)]) is None
    squares = tensors(**{"a/kernel": (2, 2), "b/kernel": (2, 2)})
    for count, fits in ((2, True), (3, False), (4, True)):  # of three, the second is of either weight
        values = [ArrayTensor(np.zeros(shape, np.float32), "") for shape in [(), *[(2, 2)] * count]]
        assert (slots_by_order([squares], values, "muon", {}, interleaved=True) is not None) is fits


def test_the_names_of_newer_optimizers():
    assert is_interleaved(["iteration", "adam/dense_kernel_momentum"])
    assert is_interleaved(["Adam/m/dense/kernel"])
    assert not is_interleaved(["Adam/dense/kernel/m:0", "iter"])


def test_names_made_to_take_long_do_not():
    variables = {f"{n}" + "/a_" * 1300: () for n in range(300)}  # numbers, which need not be slots
    began = time.process_time()
    assert slots_by_name(WEIGHTS, tensors(**variables)) is None
    assert time.process_time() - began < 10
