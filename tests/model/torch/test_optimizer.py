from __future__ import annotations

import numpy as np
import pytest

from panmodel.model.tensor import ArrayTensor, Tensor
from panmodel.model.torch.optimizer import Optimizer, find_optimizers, names_of_parameters
from panmodel.model.torch.skeleton import Branch, Key, Leaf, Node
from panmodel.wire.torch_records import TorchValue


def mapping(items: dict[Key, Node]) -> Branch:
    return Branch("dict", tuple(items.items()))


def listed(*items: Node) -> Branch:
    return Branch("list", tuple(enumerate(items)))


def state(slots: dict[Key, tuple[str, ...]], *groups: dict[Key, Node]) -> Branch:
    """An optimizer's state whose tensors are named index/slot."""
    kept = {index: mapping({slot: Leaf(f"{index}/{slot}") for slot in names}) for index, names in slots.items()}
    return mapping({"state": mapping(dict(kept)), "param_groups": listed(*map(mapping, groups))})


def only(node: Node) -> Optimizer:
    (found,) = find_optimizers(node)
    return found


def zeros(*shape: int) -> Tensor:
    return ArrayTensor(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("slots", "settings", "kind"),
    [
        (("exp_avg", "exp_avg_sq"), {}, "adam"),
        (("exp_avg", "exp_avg_sq"), {"decoupled_weight_decay": True}, "adamw"),
        (
            ("exp_avg", "exp_avg_sq"),
            dict.fromkeys(("lr", "betas", "eps", "weight_decay", "foreach", "maximize"), 1),
            "radam",
        ),
        (("exp_avg", "exp_avg_sq"), {"foreach": None, "amsgrad": False}, "adam"),
        (("exp_avg", "exp_avg_sq", "mu_product"), {}, "nadam"),
        (("momentum_buffer",), {}, "sgd"),
        (("square_avg",), {}, "rmsprop"),
        (("sum",), {}, "adagrad"),
        (("other",), {}, ""),
        (("exp_avg", "exp_avg_sq"), dict.fromkeys(("lr", "betas", "eps", "maximize"), 1), "sparseadam"),
        (("momentum_buffer",), {"momentum": 0.9, "ns_steps": 5, "ns_coefficients": listed(1, 2, 3)}, "muon"),
        (("row_var", "col_var"), {"beta2_decay": -0.8, "d": 1.0}, "adafactor"),
        (("exp_avg_sq_row",), {"scale_parameter": True, "relative_step": True}, "adafactor"),
        ((), {"dampening": 0, "nesterov": False}, "sgd"),
        ((), {"betas": listed(0.9, 0.99), "amsgrad": False}, "adam"),
    ],
)
def test_slots_or_settings_tell_the_kind(slots: tuple[str, ...], settings: dict[Key, Node], kind: str) -> None:
    assert only(state({0: slots}, {**settings, "params": listed(0)})).kind() == kind


def test_an_optimizer_without_groups_is_told_by_its_key() -> None:
    bare = mapping({"state": mapping({"0": mapping({"momentum_buffer": Leaf("m")})})})
    found = only(mapping({"optimizer_state_dict": bare, "other": bare}))
    assert (found.path, found.kind(), found.settings()) == (("optimizer_state_dict",), "sgd", {})
    assert names_of_parameters([found], [("w", zeros(2))], {"m": zeros(2)}) == [{}]


def test_optimizers_are_found_wherever_they_are() -> None:
    one = state({}, {"params": listed()})
    paths = [
        found.path for found in find_optimizers(mapping({"a": listed(one, one), "b": mapping({"c": one}), "d": 1}))
    ]
    assert paths == [("a", 0), ("a", 1), ("b", "c")]
    assert find_optimizers(one)[0].path == ()
    assert not find_optimizers(mapping({"state": listed(), "param_groups": 3}))


def test_lists_of_slots_as_fastai_has_them() -> None:
    slots = [mapping({"grad_avg": Leaf("0/m"), "sqr_avg": Leaf("0/m"), "step": 7}), mapping({})]
    settings = listed(mapping({"lr": 0.1, "wd": 0.01}))
    for hypers in (settings, Branch("object", (("items", settings),), "fastcore.foundation.L")):
        found = only(mapping({"opt": mapping({"state": listed(*slots), "hypers": hypers})}))
        assert (found.path, found.kind(), found.settings()) == (("opt",), "adam", {"lr": 0.1, "wd": 0.01})
        assert names_of_parameters([found], PARAMETERS[:2], SLOTS) == [{0: "a.weight", 1: "a.bias"}]
    assert not find_optimizers(mapping({"state": listed(*slots), "hypers": listed()}))
    assert not find_optimizers(mapping({"state": listed(1), "hypers": settings}))


def test_settings_of_one_group_and_of_several() -> None:
    betas = Branch("tuple", ((0, 0.9), (1, 0.99)))
    first: dict[Key, Node] = {"lr": 0.1, "betas": betas, "params": listed(0), "x": mapping({}), "t": Leaf("t")}
    assert only(state({}, first)).settings() == {"lr": 0.1, "betas": (0.9, 0.99)}
    typed = {"state_dtype": TorchValue("dtype", "bfloat16"), "params": listed(0)}
    assert only(state({}, typed)).settings() == {"state_dtype": "torch.bfloat16"}
    both = only(state({}, first, {"lr": 0.2, "params": listed(1)})).settings()
    assert both["lr"] == 0.1
    tensors = {"t": ArrayTensor(np.array(0.5, np.float32))}
    assert only(state({}, first)).settings(tensors) == {"lr": 0.1, "betas": (0.9, 0.99), "t": 0.5}
    assert both["param_groups"] == [{"lr": 0.1, "betas": (0.9, 0.99)}, {"lr": 0.2}]


@pytest.mark.parametrize(
    ("slots", "fits"),
    [
        ({"row_var": (2, 1), "col_var": (1, 3)}, True),
        ({"exp_avg_sq_row": (2,), "exp_avg_sq_col": (3,)}, True),
        ({"row_var": (4,)}, False),
        ({"row_var": (3, 1)}, False),
        ({"exp_avg": (2,)}, False),
    ],
)
def test_slots_of_rows_and_columns_fit(slots: dict[str, tuple[int, ...]], fits: bool) -> None:
    there = {f"0/{name}": zeros(*shape) for name, shape in slots.items()}
    node = state({0: tuple(name[2:] for name in there)}, {"params": listed(0)})
    found = names_of_parameters([only(node)], [("w", zeros(2, 3))], there)
    assert found == ([{0: "w"}] if fits else [{}])


PARAMETERS = [("a.weight", zeros(2, 3)), ("a.bias", zeros(2)), ("b.weight", zeros(4, 2))]
SLOTS = {"0/m": zeros(2, 3), "1/m": zeros(2), "2/m": zeros(4, 2), "0/step": zeros()}


def names(node: Node, tensors: dict[str, Tensor]) -> dict[Key, str]:
    return names_of_parameters([only(node)], PARAMETERS, tensors)[0]


def test_parameters_are_numbered_in_their_order() -> None:
    node = state({0: ("m", "step"), 2: ("m",)}, {"params": listed(0, 1, 2)})
    assert names(node, SLOTS) == {0: "a.weight", 1: "a.bias", 2: "b.weight"}


def test_groups_of_matrices_and_vectors() -> None:
    tensors = {"0/m": zeros(2, 3), "1/m": zeros(4, 2), "2/m": zeros(2)}
    node = state({0: ("m",), 1: ("m",), 2: ("m",)}, {"params": listed(0, 1)}, {"params": listed(2)})
    assert names(node, tensors) == {0: "a.weight", 1: "b.weight", 2: "a.bias"}


def test_groups_that_shapes_do_not_tell_apart_are_not_named() -> None:
    twice = [("a.weight", zeros(2, 2)), ("a.bias", zeros(2)), ("b.weight", zeros(2, 2)), ("b.bias", zeros(2))]
    tensors = {f"{index}/m": tensor for index, (_, tensor) in enumerate(twice)} | {"4/m": zeros(5, 2)}
    slots: dict[Key, tuple[str, ...]] = dict.fromkeys(range(4), ("m",))
    both = state(slots, {"params": listed(0, 1)}, {"params": listed(2, 3)})
    assert names_of_parameters([only(both)], twice, tensors) == [{}]  # b may have come first
    one = state(slots, {"params": listed(0, 1, 2, 3)}, {"params": listed()})
    named: dict[Key, str] = {0: "a.weight", 1: "a.bias", 2: "b.weight", 3: "b.bias"}
    assert names_of_parameters([only(one)], twice, tensors) == [named]
    head = state({**slots, 4: ("m",)}, {"params": listed(4)}, {"params": listed(0, 1, 2, 3)})
    more = [*twice, ("head", zeros(5, 2))]
    assert names_of_parameters([only(head)], more, tensors) == [{**named, 4: "head"}]
    parted = state({**slots, 4: ("m",)}, {"params": listed(0, 1, 4)}, {"params": listed(2, 3)})
    assert names_of_parameters([only(parted)], more, tensors) == [{4: "head"}]
    pair = [only(state(slots, {"params": listed(0, 1)}))] * 2
    assert names_of_parameters(pair, twice, tensors) == [{}, {}]


def test_a_group_in_another_order_than_the_state_dict_is_not_named() -> None:
    node = state({0: ("m",), 1: ("m",), 2: ("m",)}, {"params": listed(1, 0)}, {"params": listed(2)})
    assert names(node, SLOTS) == {2: "b.weight"}


def test_parameters_without_slots_are_told_by_what_is_left() -> None:
    node = state({0: ("m",)}, {"params": listed(0)}, {"params": listed(1, 2)})
    assert names(node, SLOTS) == {0: "a.weight", 1: "a.bias", 2: "b.weight"}
    parted = state({0: ("m",)}, {"params": listed(1)}, {"params": listed(0)}, {"params": listed(2)})
    assert names(parted, SLOTS) == {0: "a.weight"}


def test_what_does_not_fit_is_not_named() -> None:
    assert names(state({0: ("m",)}, {"params": listed(0, 1)}), SLOTS) == {}
    assert names(state({1: ("m",)}, {"params": listed(1, 0, 2)}), SLOTS) == {}
    assert names(state({0: ("m",)}, {"params": listed(0, mapping({}), 2)}), SLOTS) == {}


def test_buffers_and_frozen_parameters_are_left_out_where_shapes_leave_no_doubt() -> None:
    more = [("scale", zeros()), *PARAMETERS[:1], ("table", zeros(9)), *PARAMETERS[1:], ("metric", zeros())]
    node = state({0: ("m", "step"), 1: ("m",), 2: ("m",)}, {"params": listed(0, 1, 2)})
    named = {0: "a.weight", 1: "a.bias", 2: "b.weight"}
    assert names_of_parameters([only(node)], more, SLOTS) == [named]
    last = state({2: ("m",)}, {"params": listed(2)})
    assert names_of_parameters([only(last)], more, SLOTS) == [{2: "b.weight"}]
    assert names_of_parameters([only(node)], [*more, ("c.weight", zeros(4, 2))], SLOTS) == [{}]  # b or c
    assert names_of_parameters([only(node)], [*more[:1], *more[2:]], SLOTS) == [{}]  # a.weight is not there
    parted = state({0: ("m",), 1: ("m",)}, {"params": listed(0)}, {"params": listed(1)})
    assert names_of_parameters([only(parted)], more, SLOTS) == [{}]  # groups may be in any order
    without_slots = state({0: ("m",)}, {"params": listed(0, 1)})
    assert names_of_parameters([only(without_slots)], more, SLOTS) == [{}]


def test_names_that_the_file_says_count() -> None:
    group: dict[Key, Node] = {"params": listed(0, 1), "param_names": listed("b.weight", "a.bias")}
    assert names(state({0: ("m",)}, group), SLOTS) == {0: "b.weight", 1: "a.bias"}
    assert names(state({"b.weight": ("m",)}, {"params": listed("b.weight")}), {}) == {"b.weight": "b.weight"}


def test_several_optimizers_share_the_parameters() -> None:
    first, second = state({0: ("m",)}, {"params": listed(0)}), state({0: ("n",)}, {"params": listed(0, 1)})
    tensors = {"0/m": zeros(2, 3), "0/n": zeros(2)}
    found = names_of_parameters([only(first), only(second)], PARAMETERS, tensors)
    assert found == [{0: "a.weight"}, {0: "a.bias", 1: "b.weight"}]


def test_the_step_of_the_first_slots() -> None:
    assert only(state({0: ("step",)}, {"params": listed(0)})).step() == Leaf("0/step")
    counted = mapping({"state": mapping({0: mapping({"step": 12})}), "param_groups": listed()})
    assert only(counted).step() == 12
    assert only(state({0: ("m",)}, {"params": listed(0)})).step() is None
