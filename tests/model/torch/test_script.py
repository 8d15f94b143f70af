from __future__ import annotations

from pathlib import Path

import pytest
from tests.torchscript_files import Pickled, archive, call, net, of_class, old_archive, pickled, view

from panmodel.errors import LimitError, UnsupportedError
from panmodel.model.torch.script import ScriptContents, class_name, script_contents
from panmodel.model.torch.skeleton import Branch, Leaf
from panmodel.wire.pickle import Global
from panmodel.wire.torchscript import load_pickled
from panmodel.wire.torchscript_json import load_json
from panmodel.wire.zip import Archive


def found(path: Path, value: object = None) -> ScriptContents:
    return script_contents(load_pickled(Archive(archive(path / "net.pt", value).open()), "net"), "net.pt")


def test_tensors_go_by_the_attributes_that_lead_to_them(tmp_path: Path) -> None:
    contents = found(tmp_path)
    names = ["scale", "mean", "anchors.0", "conv.weight", "again.weight", "CONSTANTS.c0"]
    assert list(contents.tensors) == names
    assert contents.tensors["conv.weight"].identity == contents.tensors["again.weight"].identity
    assert contents.attributes == ["anchors.0", "CONSTANTS.c0"]
    assert contents.opaque == []
    assert contents.nodes == {name: Leaf(name) for name in names}


def test_values_and_modules_are_told(tmp_path: Path) -> None:
    contents = found(tmp_path)
    assert contents.values == {"sizes": [1, 2], "labels.a": 1, "mode": "fast"}
    conv = {"class": "layers.Conv", "parameters": ["weight", "bias"], "training": False}
    main = {"class": "Net", "parameters": ["scale"], "buffers": ["mean"], "training": True}
    assert contents.modules == {"": main, "conv": conv, "again": conv}


def test_old_archives_give_the_same_names(tmp_path: Path) -> None:
    script = load_json(Archive(old_archive(tmp_path / "net.pt").open()), "net")
    contents = script_contents(script, "net.pt")
    assert list(contents.tensors) == ["mean", "anchor", "conv.weight", "CONSTANTS.c3"]
    assert contents.attributes == ["anchor", "CONSTANTS.c3"]
    assert contents.values == {"width": 7, "sizes": [1, 2]}
    assert contents.modules == {"": {"buffers": ["mean"]}, "conv": {"parameters": ["weight"]}}


def quantized(scheme: str, *how: object) -> Pickled:
    storage = view(count=12)
    plain = storage[storage.index(b"(") : storage.index(b"Q") + 1].replace(b"FloatStorage", b"QInt32Storage")
    scheme_pushed = Pickled(f"ctorch\n{scheme}\n".encode())
    ordered = Pickled(b"ccollections\nOrderedDict\n)R")
    tail = b"".join(map(pickled, (0, (3, 4), (4, 1), (scheme_pushed, *how), False, ordered)))
    return Pickled(b"ctorch._utils\n_rebuild_qtensor\n(" + plain[1:] + tail + b"tR")


def test_quantized_tensors_are_their_integers(tmp_path: Path) -> None:
    packed = of_class("Packed", (quantized("per_tensor_affine", 0.5, 3), None), "__torch__.torch.classes.quantized")
    contents = found(tmp_path, of_class("Net", {"packed": packed}))
    assert contents.tensors["packed.0"].dtype.name == "int32"
    told = {"dtype": "qint32", "scheme": "per_tensor_affine", "scale": 0.5, "zero_point": 3}
    assert contents.values == {f"packed.0.{key}": value for key, value in told.items()}
    node = contents.nodes["packed.0"]
    assert isinstance(node, Branch)
    assert node.kind == "quantized"
    assert node.get("data") == Leaf("packed.0")


def test_scales_of_channels_are_tensors(tmp_path: Path) -> None:
    row = view(shape=(3,), strides=(1,))
    contents = found(tmp_path, of_class("Net", {"w": quantized("per_channel_affine", row, row, 0)}))
    assert list(contents.tensors) == ["w", "w.scale", "w.zero_point", "CONSTANTS.c0"]
    assert list(contents.nodes) == ["w", "CONSTANTS.c0"]
    assert contents.values["w.axis"] == 0


def test_what_holds_itself_is_left_out(tmp_path: Path) -> None:
    cycle = Pickled(b"c__torch__\nNode\n)\x81q\xf0}(X\x04\x00\x00\x00nexth\xf0ub")
    contents = found(tmp_path, of_class("Net", {"node": cycle, "w": view()}))
    assert contents.opaque == ["node.next"]
    assert "w" in contents.tensors


def test_long_lists_are_left_out(tmp_path: Path) -> None:
    assert found(tmp_path, of_class("Net", {"table": call("build_intlist", [0] * 1001)})).opaque == ["table"]


def test_objects_within_each_other_without_end_are_refused(tmp_path: Path) -> None:
    deep: object = view()
    for _ in range(70):
        deep = of_class("A", {"a": deep})
    with pytest.raises(LimitError, match="nested"):
        found(tmp_path, deep)
    doubling = b"](K\x01]eq\x000" + b"".join(b"](h%ch%ceq%c0" % (n, n, n + 1) for n in range(40)) + b"h\x28"
    with pytest.raises(LimitError, match="without end"):
        found(tmp_path, of_class("Net", {"a": Pickled(doubling)}))


def test_two_tensors_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"two tensors come to be named 'a\.b'"):
        found(tmp_path, of_class("Net", {"a": {"b": view()}, "a.b": view()}))


def test_names_of_classes() -> None:
    assert class_name(Global("__torch__.torch.nn.modules.conv.___torch_mangle_3", "Conv2d")) == (
        "torch.nn.modules.conv.Conv2d"
    )
    assert class_name(Global("__torch__", "Net")) == "Net"
    assert class_name(Global("__torch__.___torch_mangle_0", "Net")) == "Net"
    assert net()
