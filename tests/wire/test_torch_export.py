from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.torch_export_files import archive, meta, payload

from panmodel import dtypes
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.wire.torch_export import Payload, View, check_format, export_root, model_names, payloads
from panmodel.wire.zip import Archive


def opened(path: Path, *more: Any, **keywords: Any) -> Archive:
    return Archive(archive(path / "net.pt2", *more, **keywords).open())


@pytest.mark.parametrize(
    ("names", "root"),
    [
        (["a/archive_format", "a/models/model.json"], "a"),
        (["serialized_exported_program.json"], ""),
        (["archive_format"], None),
        (["a/b/archive_format"], None),
        (["a/data.pkl"], None),
    ],
)
def test_archives_are_told_by_their_members(names: list[str], root: str | None) -> None:
    assert export_root(names) == root


def test_lists_say_what_tensors_are(tmp_path: Path) -> None:
    file = opened(tmp_path)
    check_format(file, "net")
    assert model_names(file, "net") == ["model"]
    found = {item.name: item for item in payloads(file, "net", "weights", "model")}
    view = View(dtypes.FLOAT16, (2,), (1,), 0, "cpu", True)
    assert found["fc.scale"] == Payload("fc.scale", "net/data/weights/weight_1", False, False, view, True)
    assert found["sub"] == Payload("sub", "net/data/weights/weight_2", True, True, None, True)
    constants = {item.name: item for item in payloads(file, "net", "constants", "model")}
    assert not constants["engine"].is_tensor
    assert payloads(file, "net", "weights", "other") == []


def test_models_are_found_by_any_of_their_files(tmp_path: Path) -> None:
    extra = {"models/a.json": "{}", "data/constants/b_constants_config.json": "{}", "data/weights/b.pt": b""}
    assert model_names(opened(tmp_path, extra=extra), "net") == ["model", "a", "b"]


def test_devices(tmp_path: Path) -> None:
    weights = {"w": payload("weight_0", meta(device={"type": "cuda", "index": 1}))}
    (found,) = payloads(opened(tmp_path, weights), "net", "weights", "model")
    assert found.view is not None
    assert found.view.device == "cuda:1"


@pytest.mark.parametrize(
    ("weights", "complaint"),
    [
        (7, "list of weights is 7"),
        ({"w": 7}, "'w' is 7"),
        ({"w": payload("weight_9", meta())}, "not in the archive"),
        ({"w": payload("../../models/model.json", meta())}, "not in the archive"),
        ({"w": payload("weight_0")}, "neither a type nor a shape"),
        ({"w": payload("weight_0", meta(sizes=3))}, "shape or strides"),
        ({"w": payload("weight_0", meta(sizes=[{"as_expr": {"expr_str": "s0"}}]))}, "size of 'w' is None"),
        ({"w": payload("weight_0", meta(strides=[{"as_int": -1}]))}, "a size of .w. is"),
        ({"w": payload("weight_0", meta(storage_offset={"as_int": True}))}, "size of 'w' is True"),
    ],
)
def test_a_list_that_contradicts_itself_is_refused(tmp_path: Path, weights: object, complaint: str) -> None:
    with pytest.raises(CorruptError, match=complaint):
        payloads(opened(tmp_path, weights), "net", "weights", "model")


@pytest.mark.parametrize("odd", [{"dtype": 0}, {"dtype": 99}, {"dtype": "7"}, {"layout": 1}])
def test_what_is_not_read_is_named(tmp_path: Path, odd: dict[str, object]) -> None:
    with pytest.raises(UnsupportedError, match="tensor 'w' is of type"):
        payloads(opened(tmp_path, {"w": payload("weight_0", meta(**odd))}), "net", "weights", "model")


def test_other_formats_of_archives_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="archive_format is b'pt3'"):
        check_format(opened(tmp_path, extra={"archive_format": "pt3"}), "net")
