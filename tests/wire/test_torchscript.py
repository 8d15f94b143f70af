from __future__ import annotations

from pathlib import Path

import pytest
from tests.torchscript_files import CODE, CONV, Pickled, archive, call, of_class, view

from panmodel.errors import CorruptError, LimitError, UnsafeError
from panmodel.limits import Limits
from panmodel.wire.pickle import Global, Object
from panmodel.wire.torch_records import TensorRecord
from panmodel.wire.torchscript import Registered, Script, load_pickled, registered, script_root
from panmodel.wire.zip import Archive


def opened(path: Path, value: object = None, **more: object) -> Script:
    return load_pickled(Archive(archive(path / "net.pt", value, **more).open()), "net")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "root"),
    [
        (["a/data.pkl", "a/constants.pkl"], "a"),
        (["a/data.pkl", "a/code/__torch__.py"], "a"),
        (["a/data.pkl", "a/version"], None),
        (["a/data.pkl", "a/data/code/x.py"], None),
        (["a/model.json", "a/version"], "a"),
        (["a/model.json"], None),
        (["model.json", "version"], None),
        (["a/models/model.json", "a/models/version"], None),
        ([], None),
    ],
)
def test_archives_are_told_by_their_program(names: list[str], root: str | None) -> None:
    assert script_root(names) == root


def test_objects_stay_inert_and_tags_are_taken_off(tmp_path: Path) -> None:
    script = opened(tmp_path)
    assert isinstance(script.value, Object)
    held = script.value.states[0]
    assert isinstance(held, dict)
    assert script.value.cls == Global("__torch__", "Net")
    assert (held["sizes"], held["labels"]) == ([1, 2], {"a": 1})
    assert isinstance(held["scale"], TensorRecord)
    assert held["scale"].storage.content is held["mean"].storage.content
    constant = script.constants[0]
    assert isinstance(constant, TensorRecord)
    assert constant.storage.content.member == "net/constants/0"
    assert script.code == {
        "code/__torch__.py": len(CODE),
        "code/__torch__/layers/___torch_mangle_7.py": len(CONV),
    }
    assert (script.version, script.big_endian) == ("3", False)


def test_the_program_says_what_is_a_parameter(tmp_path: Path) -> None:
    assert opened(tmp_path).registered == {
        Global("__torch__", "Net"): Registered(("scale",), ("mean",)),
        Global("__torch__.layers.___torch_mangle_7", "Conv"): Registered(("weight", "bias"), None),
    }


def test_a_program_without_end_is_not_read(tmp_path: Path) -> None:
    file = Archive(archive(tmp_path / "net.pt").open())
    with pytest.raises(LimitError, match="over 100 bytes"):
        list(registered(file, "net", Limits(text_bytes=100)))


def test_all_foreign_names_are_listed(tmp_path: Path) -> None:
    foreign = [call("system", "true", module="os"), of_class("Net", {}, "__torch__x")]
    with pytest.raises(UnsafeError, match=r"2 thing\(s\).*os\.system, __torch__x\.Net"):
        opened(tmp_path, of_class("Net", {"a": foreign}))
    with pytest.raises(UnsafeError, match=r"posix\.system"):
        opened(tmp_path, constants=(call("system", "true", module="posix"),))


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (call("restore_type_tag", [1]), "type tag"),
        (call("build_intlist", 1), "list is built"),
        (view("9"), "not in the archive"),
        (view(shape=(4, 4)), "reaches beyond the 12 elements"),
    ],
)
def test_a_pickle_that_contradicts_itself_is_refused(tmp_path: Path, value: object, complaint: str) -> None:
    with pytest.raises(CorruptError, match=complaint):
        opened(tmp_path, of_class("Net", {"a": value}))


def test_sparse_and_narrow_tensors_as_cpp_writes_them(tmp_path: Path) -> None:
    narrow = view("1", 2, (2,), (1,)).replace(b"FloatStorage", b"UInt16Storage")
    indices = view("0", 6, (2, 3), (3, 1)).replace(b"FloatStorage", b"LongStorage")
    hooks = Pickled(b"ccollections\nOrderedDict\n)R")
    parts = (1, (3, 4), False, Pickled(indices), view("0", 12, (3,), (1,)), hooks)
    state = {"mask": call("_rebuild_sparse_tensor", *parts, module="torch._utils"), "narrow": Pickled(narrow)}
    held = opened(tmp_path, of_class("Net", state)).value.states[0]  # type: ignore[attr-defined]
    assert (held["mask"].layout, held["mask"].shape) == ("sparse_coo", (3, 4))
    assert (held["narrow"].dtype.name, held["narrow"].shape) == ("uint16", (2,))


def test_constants_are_a_tuple(tmp_path: Path) -> None:
    with pytest.raises(CorruptError, match="constants are 7"):
        opened(tmp_path, constants=7)
