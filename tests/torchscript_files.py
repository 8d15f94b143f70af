"""TorchScript archives of both kinds, made by hand."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from panmodel.io.source import Location
from panmodel.wire.pickle import Global, Object, PersistentId, dump

FLOATS = np.arange(12, dtype=np.float32)
CODE = """class Net(Module):
  __parameters__ = ["scale", ]
  __buffers__ = ["mean", ]
  training : bool
  conv : __torch__.layers.___torch_mangle_7.Conv
  def forward(self: __torch__.Net, x: Tensor) -> Tensor:
    return torch.mul(x, CONSTANTS.c0)
"""
CONV = 'class Conv(Module):\n  __parameters__ = ["weight", "bias", ]\n  weight : Tensor\n'


class Pickled(bytes):
    """A value that is a piece of a pickle already."""


def pickled(value: object) -> bytes:
    """A piece of a pickle that pushes a value; memo entries are written before they are read in each piece."""
    if isinstance(value, Pickled):
        return bytes(value)
    if isinstance(value, dict):
        return b"}(" + b"".join(pickled(part) for item in value.items() for part in item) + b"u"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(pickled, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(pickled, value)) + b"e"
    return dump(value)[2:-1]


def of_class(name: str, state: object, module: str = "__torch__") -> Pickled:
    """An object as TorchScript pickles it: made without arguments, and given its state."""
    return Pickled(f"c{module}\n{name}\n".encode() + b")\x81" + pickled(state) + b"b")


def call(name: str, *args: object, module: str = "torch.jit._pickle") -> Pickled:
    return Pickled(f"c{module}\n{name}\n".encode() + pickled(args) + b"R")


def view(
    key: str = "0", count: int = 12, shape: tuple[int, ...] = (3, 4), strides: tuple[int, ...] = (4, 1), offset: int = 0
) -> Pickled:
    storage = PersistentId(("storage", Global("torch", "FloatStorage"), key, "cpu", count))
    made = Object(
        Global("torch._utils", "_rebuild_tensor_v2"),
        (storage, offset, shape, strides, True, Object(Global("collections", "OrderedDict"))),
    )
    return Pickled(dump(made)[2:-1])


def net() -> Pickled:
    """A module with a parameter, a buffer, plain attributes of each kind, and a module below it."""
    conv = of_class("Conv", {"weight": view(), "bias": None, "training": False}, "__torch__.layers.___torch_mangle_7")
    state = {
        "scale": view(shape=(4,), strides=(1,)),
        "mean": view(shape=(4, 3), strides=(1, 4)),
        "anchors": call("build_tensorlist", [view("1", 1, (), ())]),
        "sizes": call("build_intlist", [1, 2]),
        "labels": call("restore_type_tag", {"a": 1}, "Dict[str, int]"),
        "mode": call("Mode", "fast", module="__torch__"),
        "missing": None,
        "training": True,
        "conv": conv,
        "again": conv,
    }
    return of_class("Net", state)


def archive(
    path: Path,
    value: object = None,
    *,
    constants: object = None,
    method: int = zipfile.ZIP_STORED,
    extra: dict[str, bytes | str] | None = None,
) -> Location:
    """An archive as torch 1.4 and later write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("net/data/0", FLOATS.tobytes())
        file.writestr("net/data/1", np.float32(7).tobytes())
        file.writestr("net/data.pkl", b"\x80\x02" + pickled(net() if value is None else value) + b".")
        file.writestr("net/code/__torch__.py", CODE, zipfile.ZIP_DEFLATED)
        file.writestr("net/code/__torch__/layers/___torch_mangle_7.py", CONV, zipfile.ZIP_DEFLATED)
        file.writestr("net/constants/0", np.float32(0.5).tobytes())
        made = (view("0", 1, (), ()),) if constants is None else constants
        file.writestr("net/constants.pkl", b"\x80\x02" + pickled(made) + b".")
        file.writestr("net/version", "3\n")
        for name, content in (extra or {}).items():
            file.writestr(f"net/{name}", content)
    return Location(path)


def tensor(
    key: str = "tensors/0", dims: tuple[int, ...] = (3, 4), strides: tuple[int, ...] = (4, 1), **more: Any
) -> Any:
    """A TensorDef in the JSON of protobuf: numbers of 64 bits are text."""
    described = {"dims": [str(size) for size in dims], "strides": [str(step) for step in strides], "offset": "0"}
    return described | {"requiresGrad": True, "dataType": "FLOAT", "data": {"key": key}, "device": "cpu"} | more


def model_json() -> dict[str, Any]:
    """A ModelDef of torch 1.1 with a parameter, a buffer, attributes, a module below, and a constant of the program."""
    conv = {"name": "conv", "parameters": [{"name": "weight", "tensorId": "0", "isBuffer": False}]}
    main = {
        "name": "net",
        "optimize": True,
        "torchscriptArena": {"key": "code/net.py"},
        "parameters": [{"name": "mean", "tensorId": "1", "isBuffer": True}],
        "attributes": [
            {"type": "int", "name": "width", "id": "0"},
            {"type": "Tensor", "name": "anchor", "id": "1"},
            {"type": "List[int]", "name": "sizes", "id": "2"},
            {"type": "int", "name": "gone", "id": "-1"},
        ],
        "submodules": [conv],
    }
    tensors = [
        tensor(),
        tensor(dims=(4, 3), strides=(1, 4)),
        tensor(dims=(2,), strides=(1,), offset="3"),
        tensor("tensors/1", (1,), (1,), requiresGrad=False),
    ]
    return {"protoVersion": "5", "mainModule": main, "producerName": "pytorch", "tensors": tensors}


ATTRIBUTES = b"\x80\x02" + pickled((7, call("build_tensor_from_id", 2), call("build_intlist", [1, 2]))) + b"."


def old_archive(
    path: Path, described: object = None, attributes: bytes = ATTRIBUTES, method: int = zipfile.ZIP_STORED
) -> Location:
    """An archive as torch 1.0 to 1.3 wrote it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("net/version", "1\n")
        file.writestr("net/code/net.py", "op_version_set = 0\n")
        file.writestr("net/attributes.pkl", attributes)
        file.writestr("net/tensors/0", FLOATS.tobytes())
        file.writestr("net/tensors/1", np.float32(0.5).tobytes())
        text = described if isinstance(described, str) else json.dumps(described or model_json())
        file.writestr("net/model.json", text)
    return Location(path)
