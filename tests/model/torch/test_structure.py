from __future__ import annotations

import numpy as np
import pytest

from panmodel.errors import CorruptError, UsageError
from panmodel.model import structure
from panmodel.model.tensor import ArrayTensor, Tensor
from panmodel.model.torch.skeleton import Branch, Leaf, Node
from panmodel.model.torch.structure import Nested, is_flat


def mapping(**items: Node) -> Branch:
    return Branch("dict", tuple(items.items()))


STATE = Branch("OrderedDict", (("fc.w", Leaf("fc.w")), ("fc.b", Leaf("fc.b"))), modules={"": {"version": 1}})
SLOTS = mapping(m=Leaf("optimizer.state.0.m"))
GROUPS = Branch("list", ((0, mapping(lr=0.1, params=Branch("list", ((0, 0), (1, 1))))),))
OPTIMIZER = mapping(state=Branch("dict", ((0, SLOTS),)), param_groups=GROUPS)
CHECKPOINT = mapping(epoch=3, model=STATE, optimizer=OPTIMIZER)
TENSORS: dict[str, Tensor] = {
    "fc.w": ArrayTensor(np.ones((2, 3), np.float32)),
    "fc.b": ArrayTensor(np.ones(2, np.float32)),
    "optimizer.state.0.m": ArrayTensor(np.ones((2, 3), np.float32)),
}
SAME = {name: name for name in TENSORS}


def test_it_survives_json() -> None:
    given = Nested(CHECKPOINT)
    assert structure.decode(structure.encode(given), TENSORS, "a") == given
    with pytest.raises(CorruptError, match="not there"):
        structure.decode(structure.encode(given), {}, "a")
    with pytest.raises(CorruptError):
        structure.decode('{"family": "torch", "root": {"dict": ' + "[" * 5000 + "]" * 5000 + "}}", {}, "a")


def test_renamed_tensors_have_the_new_key() -> None:
    edited = Nested(CHECKPOINT).edited({**SAME, "fc.w": "head.w", "optimizer.state.0.m": "optimizer.state.0.first"})
    assert edited is not None
    assert isinstance(edited.root, Branch)
    state = edited.root.get("model")
    assert isinstance(state, Branch)
    assert state.items == (("head.w", Leaf("head.w")), ("fc.b", Leaf("fc.b")))
    assert state.modules == STATE.modules
    slots = Branch("dict", ((0, mapping(first=Leaf("optimizer.state.0.first"))),))
    assert edited.root.get("optimizer") == mapping(state=slots, param_groups=GROUPS)


def test_names_that_leave_their_container_keep_the_key() -> None:
    root = mapping(ema=mapping(w=Leaf("ema.w")), n=1)
    edited = Nested(root).edited({"ema.w": "other"})
    assert edited == Nested(mapping(ema=mapping(w=Leaf("other")), n=1))


def test_what_is_left_out_goes_with_its_container() -> None:
    edited = Nested(CHECKPOINT).edited({"fc.w": "fc.w"})
    assert edited is not None
    assert edited.root == mapping(
        epoch=3,
        model=Branch("OrderedDict", (("fc.w", Leaf("fc.w")),), modules=STATE.modules),
        optimizer=mapping(param_groups=GROUPS),
    )
    listed = Nested(Branch("list", ((0, Leaf("0")), (1, Leaf("1")), (2, 5)))).edited({"1": "1"})
    assert listed == Nested(Branch("list", ((0, Leaf("1")), (1, 5))))


def test_without_training_one_state_dict_is_no_structure() -> None:
    assert Nested(CHECKPOINT).edited(SAME, keep_training=False) is None
    told = Nested(mapping(arch="net", **dict(CHECKPOINT.items))).edited(SAME, keep_training=False)  # type: ignore[arg-type]
    assert told == Nested(mapping(arch="net", model=STATE))
    assert Nested(OPTIMIZER).edited({"state.0.m": "state.0.m"}, keep_training=False) is None
    assert Nested(CHECKPOINT).edited({}) == Nested(mapping(epoch=3, optimizer=mapping(param_groups=GROUPS)))


def test_two_tensors_of_one_key_are_refused() -> None:
    root = mapping(a=mapping(x=Leaf("a.x"), y=Leaf("a.y")), n=1)
    with pytest.raises(UsageError, match=r"one key in 'a'"):
        Nested(root).edited({"a.x": "a.z", "a.y": "a.z"})


def test_the_training_state_is_told() -> None:
    training = Nested(CHECKPOINT).training_state(TENSORS)
    assert training is not None
    assert (training.epoch, training.hyperparameters) == (3, {"lr": 0.1})
    assert training.slots == {"fc.w": {"m": TENSORS["optimizer.state.0.m"]}}


def test_flat_is_what_names_alone_say() -> None:
    assert is_flat(STATE)
    assert is_flat(mapping())
    for node in (
        mapping(w=Leaf("w", parameter=True)),
        mapping(w=Leaf("w", requires_grad=True)),
        mapping(w=1),
        mapping(w=mapping()),
        Branch("dict", ((0, Leaf("0")),)),
        Branch("list", ((0, Leaf("0")),)),
        Leaf("w"),
        None,
    ):
        assert not is_flat(node)
