"""Checkpoints as targets: which files they become, what stays, and what is left when the writer dies."""

import os
from pathlib import Path

import numpy as np
import pytest

import panmodel as pm
from panmodel.errors import LossyError, OutputExistsError, UnsupportedError, UsageError
from panmodel.formats import for_target
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor
from panmodel.plan import Plan

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "model.ckpt"


def model(value=1.0, size=4):
    return Model("test", tensors={"w": ArrayTensor(np.full(size, value, np.float32))})


def names(folder):
    return sorted(os.listdir(folder))


@pytest.mark.parametrize(
    ("target", "prefix"),
    [("b.ckpt", "b.ckpt"), ("model.ckpt-7", "model.ckpt-7"), ("model.index", "model"), ("B.CKPT.INDEX", "B.CKPT")],
)
def test_a_target_is_the_prefix_or_the_index(target, prefix, tmp_path):
    assert for_target(tmp_path / target).name == "tensorflow_checkpoint"
    report = pm.write(model(), tmp_path / target)
    assert names(tmp_path) == sorted([f"{prefix}.data-00000-of-00001", f"{prefix}.index", "checkpoint"])
    assert report.files[-1] == str(tmp_path / f"{prefix}.index")
    for path in (tmp_path / prefix, tmp_path):
        assert pm.read(path).tensors["w"].numpy().tolist() == [1.0] * 4


def test_a_target_of_any_name_when_the_format_is_said(tmp_path):
    pm.write(model(), tmp_path / "weights", to="tensorflow_checkpoint")
    assert pm.read(tmp_path / "weights").tensors["w"].shape == (4,)


def test_a_tensor_cannot_have_the_name_of_the_graph_of_objects(tmp_path):
    odd = Model("test", tensors={"_CHECKPOINTABLE_OBJECT_GRAPH": ArrayTensor(np.ones(2))})
    with pytest.raises(UnsupportedError, match="TensorFlow keeps the name _CHECKPOINTABLE_OBJECT_GRAPH"):
        pm.write(odd, tmp_path / "b.ckpt")
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["a.ckpt-x", "ckpt-7", "a.ckpt-", "a.data-00000-of-00001"])
def test_what_is_no_name_of_a_checkpoint(name):
    with pytest.raises(UsageError, match="--to"):
        for_target(Path(name))


def test_the_state_file_of_others_stays(tmp_path):
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "theirs"\n')
    pm.write(model(), tmp_path / "b.ckpt")
    pm.write(model(2.0), tmp_path / "b.ckpt", force=True)
    assert (tmp_path / "checkpoint").read_text() == 'model_checkpoint_path: "theirs"\n'


def test_a_state_file_with_an_unusual_name_in_it(tmp_path):
    target = tmp_path / 'a "b" ü.ckpt'
    pm.write(model(), target)
    found = pm.read(tmp_path)
    assert found.tensors["w"].numpy().tolist() == [1.0] * 4
    assert found.metadata["checkpoint"]["latest"] == target.name


@pytest.mark.parametrize("suffix", ["index", "data-00000-of-00001"])
def test_a_checkpoint_that_is_there_is_not_replaced_unasked(suffix, tmp_path, monkeypatch):
    (tmp_path / f"b.ckpt.{suffix}").write_bytes(b"old")
    with pytest.raises(OutputExistsError, match=suffix):
        pm.write(model(), tmp_path / "b.ckpt")
    monkeypatch.setattr(Plan, "run", lambda *_: pytest.fail("work began"))
    with pytest.raises(OutputExistsError, match=suffix):
        pm.convert(DIGITS, tmp_path / "b.ckpt")
    assert names(tmp_path) == [f"b.ckpt.{suffix}"]


def test_a_checkpoint_is_not_converted_onto_itself(tmp_path):
    pm.write(model(), tmp_path / "b.ckpt")
    with pytest.raises(UsageError, match="both source and target"):
        pm.convert(tmp_path / "b.ckpt", tmp_path / "b.ckpt", force=True)


def test_weights_become_a_checkpoint(tmp_path):
    pm.convert(DIGITS, tmp_path / "a.safetensors")
    report = pm.convert(tmp_path / "a.safetensors", tmp_path / "b.ckpt")
    assert report.notices == []
    before, after = pm.read(DIGITS), pm.read(tmp_path / "b.ckpt")
    assert list(after.tensors) == list(before.tensors)
    assert all(after.tensors[n].numpy().tobytes() == t.numpy().tobytes() for n, t in before.tensors.items())


def test_a_checkpoint_with_a_graph_becomes_one_without(tmp_path):
    report = pm.convert(DIGITS, tmp_path / "c.ckpt")
    assert [notice.kind for notice in report.notices] == ["graph-lost"]
    data = "data-00000-of-00001"
    assert (tmp_path / f"c.ckpt.{data}").read_bytes() == DIGITS.with_name(f"model.ckpt.{data}").read_bytes()
    again = pm.read(tmp_path / "c.ckpt")
    assert again.program is None
    assert (again.training.step, again.training.optimizer) == (600, "adam")
    assert pm.convert(DIGITS, tmp_path / "d.ckpt", weights_only=True).notices == []
    with pytest.raises(LossyError, match="graph"):
        pm.convert(DIGITS, tmp_path / "e.ckpt", strict=True)
    with pytest.raises(UsageError, match="cut"):
        pm.convert(DIGITS, tmp_path / "e.ckpt", outputs=["logits:0"])


def test_elements_without_a_type_leave_nothing(tmp_path):
    import ml_dtypes

    scales = Model("test", tensors={"s": ArrayTensor(np.ones(2, ml_dtypes.float8_e8m0fnu))})
    with pytest.raises(UnsupportedError, match="s \\(float8_e8m0fnu\\)"):
        pm.write(scales, tmp_path / "b.ckpt")
    assert names(tmp_path) == []
