"""What is said of what a target has no place for."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest

import panmodel as pm
from panmodel.formats import by_name
from panmodel.losses import losses, training_fate
from panmodel.model.builder import Builder
from panmodel.model.model import Model
from panmodel.model.structure import training_told
from panmodel.model.tensor import ArrayTensor
from panmodel.model.training import TrainingState


@dataclass
class Arrangement:
    """A structure that alone says what belongs to a training run."""

    state: TrainingState = field(default_factory=TrainingState)
    family: ClassVar[str] = "torch"

    def training_state(self, tensors):
        return self.state


def trained():
    """A model whose slots no name tells."""
    tensors = {"w": ArrayTensor(np.ones(3)), "w.m": ArrayTensor(np.ones(3)), "count": ArrayTensor(np.int64(7))}
    state = TrainingState(
        step=7,
        epoch=2,
        optimizer="adam",
        hyperparameters={"lr": 0.1, "count": 7},
        slots={"w": {"m": tensors["w.m"]}},
        names=frozenset({"w.m", "count"}),
        counters={"step": tensors["count"]},
    )
    return Model("any", tensors=tensors, training=state, structure=Arrangement(state))


def named():
    """One whose names tell all."""
    names = ("w", "w/Adam", "w/Adam_1")
    tensors = {name: ArrayTensor(np.ones(3)) for name in names} | {"global_step": ArrayTensor(np.int64(7))}
    return Model("any", tensors=tensors, training=training_told(tensors, None))


def said(source, target, **how):
    how = {"keeps_graph": False, "weights_only": False, **how}
    return [(notice.kind, str(notice)) for notice in losses(source, source, by_name(target), **how)]


def fate(opened, target, left=None):
    left = left or opened
    return training_fate(opened, left, left, by_name(target))


@pytest.mark.parametrize("target", ["safetensors", "npz", "torch_pickle", "keras_hdf5", "tensorflow_checkpoint"])
def test_named_tensors_keep_a_state_that_is_told_from_them(target):
    assert said(named(), target) == []
    assert fate(named(), target) == "kept: step 7, adam, 2 slots"


def test_names_that_tell_no_more_after_a_change_are_said():
    opened = named()
    renamed = {name.replace("/", "-"): tensor for name, tensor in opened.tensors.items()}
    state = replace(opened.training, names=frozenset(name for name in renamed if name != "w"))
    changed = replace(opened, tensors=renamed, training=state)
    plain, kind = [text for _, text in said(changed, "npz")]
    assert plain.endswith("no weights: w-Adam, w-Adam_1") and "the kind of the optimizer (adam)" in kind
    assert fate(opened, "npz", changed) == "not all kept: step 7, adam, 0 of 2 slots"


def test_what_no_tensor_holds_needs_the_structure():
    lost = said(trained(), "tensorflow_checkpoint")
    assert [kind for kind, _ in lost] == ["structure-lost"] + ["training-state-lost"] * 4
    assert "no weights: w.m, count" in lost[1][1] and "the kind of the optimizer (adam)" in lost[2][1]
    assert "the epoch (2)" in lost[3][1] and "hyper-parameters" in lost[4][1] and lost[4][1].endswith("lr")
    not_kept = "not kept: step 7, epoch 2, adam, 1 slots; 2 tensors of it are plain ones now"
    assert fate(trained(), "tensorflow_checkpoint") == not_kept
    assert said(trained(), "torch_pickle") == said(trained(), "safetensors") == []
    assert fate(trained(), "torch_pickle") == "kept: step 7, epoch 2, adam, 1 slots"


def test_a_tensor_that_is_the_same_number_by_chance_holds_none():
    source = trained()
    source.training.epoch, source.training.loss = 7, 7.0
    lost = [text for _, text in said(source, "npz")]
    assert "the epoch (7) is not kept in npz" in lost and "the loss (7.0) is not kept in npz" in lost
    assert not [text for text in lost if "the step" in text]


def test_slots_of_unknown_weights_are_said():
    source = trained()
    source.structure = Arrangement(replace(source.training, slots={"0": source.training.slots["w"]}))
    ((_, text),) = said(source, "torch_pickle")
    assert text == "which slots are of which weights is not kept in torch_pickle: w (m)"
    assert fate(source, "torch_pickle") == "not all kept: step 7, epoch 2, adam, 1 slots (1 under numbers)"


def test_what_a_user_left_out_is_neither_lost_nor_kept():
    opened = trained()
    left = replace(opened.training, slots={}, names=frozenset())
    told = TrainingState(epoch=2, names=frozenset())  # by the containers, of which the slots are gone
    source = replace(opened, tensors={"w": opened.tensors["w"]}, training=left, structure=Arrangement(told))
    assert said(source, "torch_pickle") == []
    assert fate(opened, "torch_pickle", source) == "not all kept: step 7, epoch 2, adam, 0 of 1 slots"
    source.structure = Arrangement()
    assert fate(opened, "torch_pickle", source) == "not kept: step 7, epoch 2, adam, 0 of 1 slots"


def test_numbers_that_are_variables_of_the_optimizer_are_kept():
    source = trained()
    source.tensors |= {"Adam/beta_1": ArrayTensor(np.float32(0.9)), "w/beta_2": ArrayTensor(np.float32(0.9))}
    source.training.names |= {"Adam/beta_1", "w/beta_2"}
    source.training.slots["w"]["beta_2"] = source.tensors["w/beta_2"]
    source.training.hyperparameters = {"beta_1": 0.9, "beta_2": 0.9, "m": 1}
    assert said(source, "npz")[-1][1].endswith("beta_2, m")


def test_a_graph_takes_no_training_state_along():
    source = trained()
    source.program = Builder().graph()
    lost = said(source, "onnx", keeps_graph=True)
    assert [kind for kind, _ in lost] == ["training-state-lost"] * 3 + ["tensors-unused"]
    assert lost[3][1].endswith("does not use: w")
    assert "w (m)" in lost[0][1] and "step (7)" in lost[1][1] and "epoch (2)" in lost[2][1]


def test_a_graph_that_stays_behind_is_named_unless_asked_for():
    source = Model("onnx", Builder().graph(), {"w": ArrayTensor(np.ones(1))})
    assert [kind for kind, _ in said(source, "safetensors")] == ["graph-lost"]
    assert said(source, "safetensors", weights_only=True) == []


def test_a_program_that_is_not_read_is_lost_unless_asked_for():
    for read_as in ("torchscript", "torch_export"):
        source = Model(read_as, tensors={"w": ArrayTensor(np.ones(1))})
        assert said(source, "npz") == [("graph-lost", f"the program is not kept: of {read_as} the weights are read")]
        assert said(source, "npz", weights_only=True) == []


def test_strings_of_the_file_are_lost_where_there_is_no_place_for_them():
    source = Model("safetensors", tensors={"w": ArrayTensor(np.ones(1))})
    source.strings = {"format": "pt", "author": "somebody", "note": ""}
    for target in ("npz", "npy", "torch_pickle", "tensorflow_checkpoint", "keras_hdf5"):
        lost = f"metadata of the file is not kept in {target}: author, note"
        assert said(source, target) == [("metadata-lost", lost)]
    assert said(source, "safetensors") == said(source, "onnx", keeps_graph=True) == []
    assert said(source, "torch_source", keeps_graph=True)[0][0] == "metadata-lost"
    source.strings = {"format": "my own"}  # which tells no loader anything
    assert said(source, "npz", weights_only=True)[0][1].endswith(": format")


def test_ties_are_lost_where_each_name_is_written():
    shared, single = ArrayTensor(np.ones(4, np.float32)), ArrayTensor(np.ones(4, np.float32))
    pair = ArrayTensor(np.ones(2, np.float32))
    source = Model("any", tensors={"a": shared, "b": single, "c": shared, "d": shared, "e": pair, "f": pair})
    for target in ("npz", "safetensors"):
        ((kind, text),) = said(source, target)
        assert kind == "ties-lost" and text.endswith("(40 bytes more): a = c = d, e = f")
    assert said(source, "torch_pickle") == said(source, "tensorflow_checkpoint") == []
    assert [kind for kind, _ in said(source, "keras_hdf5")] == ["assumed"]


def test_a_format_says_what_else_it_loses(tmp_path):
    source = Model("any", tensors={"a": ArrayTensor(np.ones(2)), "b": ArrayTensor(np.ones(2))})
    source.metadata = {"shared_storages": [["a", "b"]]}
    assert said(source, "torch_pickle") == [("structure-lost", "views of one storage are written each by itself: a, b")]
    assert said(source, "safetensors") == []
    assert [str(notice) for notice in pm.write(source, tmp_path / "a.pt").notices] == [
        "views of one storage are written each by itself: a, b"
    ]
    source.structure = Arrangement()
    assert "not kept in shards" in said(source, "torch_pickle", sharded=True)[0][1]
