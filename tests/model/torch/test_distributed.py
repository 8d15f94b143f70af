from __future__ import annotations

import numpy as np
import pytest

from panmodel.dtypes import FLOAT32, FLOAT64
from panmodel.errors import CorruptError
from panmodel.model.tensor import ArrayTensor, Tensor
from panmodel.model.torch.distributed import ChunkTensor, nested


def test_a_chunk_is_opened_when_it_is_read() -> None:
    opened = []

    def load() -> Tensor:
        opened.append(1)
        return ArrayTensor(np.arange(6, dtype=np.float32).reshape(2, 3))

    tensor = ChunkTensor("w", FLOAT32, (2, 3), load)
    assert (tensor.name, tensor.nbytes, opened) == ("w", 24, [])
    assert tensor.numpy().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert b"".join(map(bytes, tensor.chunks(8))) == np.arange(6, dtype=np.float32).tobytes()
    for dtype, shape in ((FLOAT64, (2, 3)), (FLOAT32, (3, 2))):
        with pytest.raises(CorruptError, match=r"'w': a chunk is float32\[2, 3\], the metadata says"):
            ChunkTensor("w", dtype, shape, load).numpy()


def test_paths_lead_to_dictionaries_and_lists() -> None:
    paths = {
        "model.fc.weight": ("model", "fc.weight"),
        "list.1": ("list", 1),
        "list.0.a": ("list", 0, "a"),
        "odd.2": ("odd", 2),
        "text.0": ("text", "0"),
    }
    items = {name: name.upper() for name in paths} | {"alone": {"value": 1}}
    assert nested(items, paths, "here") == {
        "model": {"fc.weight": "MODEL.FC.WEIGHT"},
        "list": [{"a": "LIST.0.A"}, "LIST.1"],
        "odd": {2: "ODD.2"},
        "text": {"0": "TEXT.0"},
        "alone": {"value": 1},
    }


def test_an_optimizer_has_the_numbers_of_its_parameters_again() -> None:
    paths = {
        "o.state.0.m": ("o", "state", "0", "m"),
        "o.state.1.m": ("o", "state", "1", "m"),
        "o.param_groups.0.params": ("o", "param_groups", 0, "params"),
    }

    def made(params: object) -> object:
        return nested({"o.state.0.m": "a", "o.state.1.m": "b", "o.param_groups.0.params": params}, paths, "here")

    assert made([0, 1]) == {"o": {"state": {0: {"m": "a"}, 1: {"m": "b"}}, "param_groups": [{"params": [0, 1]}]}}
    for named in (["0", "1"], [], None, [True, False]):
        assert made(named) == {"o": {"state": {"0": {"m": "a"}, "1": {"m": "b"}}, "param_groups": [{"params": named}]}}


@pytest.mark.parametrize(
    ("paths", "complaint"),
    [
        ({"a": ("x",), "b": ("x",)}, "two things lie at the path to 'b'"),
        ({"a": ("x",), "b": ("x", "y")}, "'b' leads through a value"),
        ({"a": ("x", "y"), "b": ("x",)}, "two things"),
    ],
)
def test_paths_that_contradict_each_other_are_refused(paths: dict[str, tuple[str, ...]], complaint: str) -> None:
    with pytest.raises(CorruptError, match=complaint):
        nested({"a": {}, "b": {}}, paths, "here")  # type: ignore[arg-type]
