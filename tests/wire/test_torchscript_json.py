from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.torchscript_files import ATTRIBUTES, call, model_json, of_class, old_archive, pickled, tensor

from panmodel.errors import CorruptError, LimitError, UnsafeError, UnsupportedError
from panmodel.wire.pickle import Global, Object
from panmodel.wire.torch_records import TensorRecord
from panmodel.wire.torchscript import Registered, Script
from panmodel.wire.torchscript_json import load_json
from panmodel.wire.zip import Archive


def opened(path: Path, described: object = None, attributes: bytes = ATTRIBUTES, **more: Any) -> Script:
    return load_json(Archive(old_archive(path / "net.pt", described, attributes, **more).open()), "net")


def held(value: object) -> dict[Any, Any]:
    assert isinstance(value, Object)
    assert isinstance(value.states[0], dict)
    return value.states[0]


def test_modules_become_objects(tmp_path: Path) -> None:
    script = opened(tmp_path)
    main = held(script.value)
    assert list(main) == ["mean", "width", "anchor", "sizes", "conv"]
    assert (main["width"], main["sizes"]) == (7, [1, 2])
    weight, mean, anchor = held(main["conv"])["weight"], main["mean"], main["anchor"]
    assert isinstance(weight, TensorRecord)
    assert (weight.shape, mean.strides, anchor.offset) == ((3, 4), (1, 4), 3)
    assert weight.storage.content is mean.storage.content
    assert list(script.constants) == [3]
    assert script.registered[Global("__torch__", "")] == Registered((), ("mean",))
    assert script.registered[Global("__torch__.conv", "")] == Registered(("weight",), ())


def test_deflated_tensors_have_no_extent(tmp_path: Path) -> None:
    mean = held(opened(tmp_path, method=zipfile.ZIP_DEFLATED).value)["mean"]
    assert mean.storage.content.extent is None
    assert len(mean.storage.content.read()) == 48


def test_a_state_stands_for_what_a_module_holds(tmp_path: Path) -> None:
    described = model_json()
    main = described["mainModule"]
    main["getStateAttributeId"] = "1"
    main["parameters"][0]["tensorId"] = "-1"
    value = opened(tmp_path, described).value
    assert isinstance(value, Object)
    assert "mean" not in held(value)
    assert isinstance(value.states[1], TensorRecord)


def test_attributes_of_the_first_pickles(tmp_path: Path) -> None:
    items = (7, of_class("TensorID", 2, "__main__"), of_class("IntList", [1, 2], "__main__"))
    main = held(opened(tmp_path, attributes=b"\x80\x02" + pickled(items) + b".").value)
    assert main["anchor"].offset == 3
    assert main["sizes"] == [1, 2]


def broken(**changes: Any) -> dict[str, Any]:
    described = model_json()
    return described | {"tensors": [tensor(**changes), *described["tensors"][1:]]}


def with_main(**changes: Any) -> dict[str, Any]:
    described = model_json()
    return described | {"mainModule": described["mainModule"] | changes}


@pytest.mark.parametrize(
    ("described", "complaint"),
    [
        ("{", "not JSON"),
        ('{"tensors": [], "tensors": []}', "appears twice"),
        (model_json() | {"mainModule": None}, "mainModule is None"),
        (broken(key="tensors/9"), "not in the archive"),
        (broken(key="../data"), "not in the archive"),
        (broken(dims=(4, 4)), "reaches beyond the 12 elements"),
        (broken(offset="x"), "not a number"),
        (broken(offset=-1), "not a number"),
        (broken(data=7), "not an object"),
        (with_main(parameters=[{"name": "w", "tensorId": "9"}]), "number 9 of 4"),
        (with_main(parameters=[{"tensorId": "0"}]), "not a name"),
        (with_main(parameters=[{"name": "w"}, {"name": "w"}]), "two things named 'w'"),
        (with_main(attributes=[{"name": "a", "id": "3"}]), "number 3 of 3"),
        (with_main(submodules=7), "not a list"),
    ],
)
def test_a_description_that_contradicts_itself_is_refused(tmp_path: Path, described: object, complaint: str) -> None:
    with pytest.raises(CorruptError, match=complaint):
        opened(tmp_path, described)


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="tensor 0 has elements of type STRING"):
        opened(tmp_path, broken(dataType="STRING"))
    deep: dict[str, Any] = {"name": "a"}
    for _ in range(70):
        deep = {"name": "a", "submodules": [deep]}
    with pytest.raises(LimitError, match="nested more than 64 deep"):
        opened(tmp_path, model_json() | {"mainModule": deep})


def test_attributes_name_nothing_foreign(tmp_path: Path) -> None:
    with pytest.raises(UnsafeError, match=r"os\.system"):
        opened(tmp_path, attributes=b"\x80\x02" + pickled((call("system", "true", module="os"),)) + b".")
    with pytest.raises(CorruptError, match="number 9 of 4"):
        opened(tmp_path, attributes=b"\x80\x02" + pickled((call("build_tensor_from_id", 9),)) + b".")
    with pytest.raises(CorruptError, match="attributes are 7"):
        opened(tmp_path, attributes=b"\x80\x02K\x07.")
