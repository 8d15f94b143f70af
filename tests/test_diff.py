from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import panmodel as pm
from panmodel.diff import diff
from panmodel.errors import CorruptError, MissingFileError, UnknownNameError, UsageError
from panmodel.model.comparison import TensorForm
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor
from panmodel.model.training import TrainingState


def model(training: TrainingState | None = None, **values: object) -> Model:
    return Model("test", tensors={n: ArrayTensor(np.array(v), n) for n, v in values.items()}, training=training)


def test_every_kind_of_difference(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", same=np.ones(3), moved=np.arange(4), gone=np.zeros(2), off=np.array([1.0, 2.0]))
    np.savez(tmp_path / "b.npz", same=np.ones(3), other=np.arange(4), new=np.zeros((2, 1)), off=np.array([1.0, 3.0]))
    found = diff(tmp_path / "a.npz", str(tmp_path / "b.npz"))
    assert not found.same
    assert found.equal == ("same",)
    assert [(r.before, r.after, r.ambiguous) for r in found.renamed] == [("moved", "other", False)]
    assert found.removed == {"gone": TensorForm("float64", (2,))}
    assert found.added == {"new": TensorForm("float64", (2, 1))}
    assert [(change.name, change.max_absolute, change.differing) for change in found.changed] == [("off", 1.0, 1)]
    assert (found.first, found.second) == (str(tmp_path / "a.npz"), str(tmp_path / "b.npz"))


def test_tolerances_decide() -> None:
    assert not diff(model(w=[1.0]), model(w=[1.001])).same
    assert diff(model(w=[1.0]), model(w=[1.001]), rtol=0.01).same


@pytest.mark.parametrize("tolerances", [{"rtol": -1.0}, {"atol": math.nan}])
def test_tolerances_are_numbers_from_0_on(tolerances: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="a tolerance is 0 or more"):
        diff(Model("a"), Model("b"), **tolerances)
    with pytest.raises(UsageError, match="a tolerance is 0 or more"):
        pm.verify("a", "b", **tolerances)


@pytest.mark.parametrize("words", [{"include": 5}, {"exclude": [5]}, {"rtol": "1"}, {"atol": None}])
def test_arguments_of_wrong_types_are_named(words: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(words))):
        diff(Model("any"), Model("any"), **words)  # type: ignore[arg-type]


def test_patterns_choose_names() -> None:
    a, b = model(w=[1.0], head=[2.0]), model(w=[1.0], tail=[3.0])
    assert diff(a, b, include=["w"]).same
    assert diff(a, b, exclude=["head", "t*"]).equal == ("w",)
    with pytest.raises(UnknownNameError, match=r"zz.*\n.*there is w, head, tail$"):
        diff(a, b, include=["zz*"])


def test_a_tensor_of_two_names_is_read_once() -> None:
    class Counted(ArrayTensor):
        reads = 0

        def numpy(self) -> np.ndarray:
            Counted.reads += 1
            return super().numpy()

    tied = Counted(np.ones(3), "w")
    found = diff(Model("a", tensors={"w": tied, "v": tied}), Model("b", tensors={"w": tied, "v": tied}))
    assert found.equal == ("w", "v")
    assert Counted.reads == 2


def test_training_states_are_compared() -> None:
    a = model(TrainingState(step=3, optimizer="adam", hyperparameters={"lr": 0.1, "betas": (0.9, 0.99)}))
    b = model(TrainingState(step=4, optimizer="adam", hyperparameters={"lr": 0.1, "betas": [0.9, 0.99]}))
    assert diff(a, b).training == {"step": (3, 4)}
    assert not diff(a, b).same
    assert diff(a, model()).training["optimizer"] == ("adam", None)
    assert diff(a, model()).same
    lost = model(TrainingState(loss=float("nan")))
    assert set(diff(lost, model(TrainingState(loss=1.0))).training) == {"loss"}
    assert diff(lost, lost).training == {}


def test_errors_of_reading_stay_what_they_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", w=np.arange(100.0))
    with pytest.raises(MissingFileError):
        diff(tmp_path / "a.npz", tmp_path / "none")
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[400] ^= 1
    (tmp_path / "b.npz").write_bytes(data)
    with pytest.raises(CorruptError, match="'w'"):
        diff(tmp_path / "a.npz", tmp_path / "b.npz")


@given(st.dictionaries(st.text(max_size=4), st.lists(st.floats(width=32), max_size=5), max_size=5))
def test_a_model_is_the_same_as_itself(values) -> None:
    found = diff(model(**values), model(**values))
    assert found.same
    assert set(found.equal) == set(values)


@given(st.sets(st.text(max_size=4), max_size=8), st.data())
def test_any_subset_that_is_renamed_is_found(names, data) -> None:
    values = {name: [float(place), 0.5] for place, name in enumerate(sorted(names))}
    moved = data.draw(st.sets(st.sampled_from(sorted(names)))) if names else set()
    other = {(f"moved {name}" if name in moved else name): value for name, value in values.items()}
    found = diff(model(**values), model(**other))
    assert {(r.before, r.after) for r in found.renamed} == {(name, f"moved {name}") for name in moved}
    assert set(found.equal) == names - moved
    assert found.same is (not moved)


class Partial(ArrayTensor):
    """A tensor of which the file holds a part."""

    is_complete = False

    def numpy(self) -> np.ndarray:
        raise CorruptError("a part is missing")


def test_what_is_there_in_part_is_compared_with_nothing() -> None:
    def partly() -> Model:
        return Model("test", tensors={"w": ArrayTensor(np.ones(2)), "slot": Partial(np.ones(3))})

    whole = model(w=np.ones(2), slot=np.ones(3))
    both = diff(partly(), partly())
    assert both.uncompared == ("slot",) and both.equal == ("w",)
    assert list(diff(whole, partly()).removed) == ["slot"]
    assert list(diff(partly(), whole).added) == ["slot"]
    assert not diff(whole, partly()).same


def test_progress_is_told_in_bytes_of_the_first() -> None:
    told: list[tuple[int, int]] = []
    diff(model(a=np.ones(2), b=np.ones(3)), model(a=np.ones(2), b=np.zeros(3)), progress=lambda *at: told.append(at))
    assert told == [(16, 40), (40, 40)]
