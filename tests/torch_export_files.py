"""Archives of torch.export of all versions, made by hand."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from panmodel.io.source import Location
from panmodel.wire.pickle import Global, Object, PersistentId, dump

FLOATS = np.arange(12, dtype=np.float32)


def meta(shape: tuple[int, ...] = (3, 4), strides: tuple[int, ...] = (4, 1), offset: int = 0, **more: Any) -> Any:
    """A TensorMeta of float32."""
    described = {"dtype": 7, "sizes": [{"as_int": size} for size in shape], "requires_grad": True}
    described |= {"strides": [{"as_int": step} for step in strides], "storage_offset": {"as_int": offset}}
    return described | {"device": {"type": "cpu", "index": None}, "layout": 7} | more


def payload(path: str, tensor: Any = None, *, parameter: bool = True, pickled: bool = False) -> Any:
    return {"path_name": path, "is_param": parameter, "use_pickle": pickled, "tensor_meta": tensor}


def saved(value: object) -> bytes:
    """A file of torch.save; `tensor()` in the value is its one storage."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", dump(value))
        file.writestr("archive/data/0", FLOATS.tobytes())
    return buffer.getvalue()


def tensor(shape: tuple[int, ...] = (3, 4), strides: tuple[int, ...] = (4, 1)) -> Object:
    storage = PersistentId(("storage", Global("torch", "FloatStorage"), "0", "cpu", 12))
    ordered = Object(Global("collections", "OrderedDict"))
    return Object(Global("torch._utils", "_rebuild_tensor_v2"), (storage, 0, shape, strides, False, ordered))


WEIGHTS = {
    "fc.weight": payload("weight_0", meta()),
    "tied.weight": payload("weight_0", meta()),
    "fc.mean": payload("weight_0", meta((4, 3), (1, 4)), parameter=False),
    "fc.scale": payload("weight_1", meta((2,), (1,), dtype=6), parameter=False),
    "sub": payload("weight_2", meta(), pickled=True),
}
CONSTANTS = {
    "lifted_0": payload("tensor_0", meta((), ()), parameter=False),
    "engine": payload("custom_obj_0", pickled=True),
}


def listed(config: Any) -> str:
    return json.dumps({"config": config})


def archive(
    path: Path,
    weights: Any = None,
    constants: Any = None,
    *,
    method: int = zipfile.ZIP_STORED,
    model: str = "model",
    extra: dict[str, bytes | str] | None = None,
) -> Location:
    """An archive as torch 2.8 and later write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    members: dict[str, bytes | str] = {
        "data/weights/weight_0": FLOATS.tobytes(),
        "data/weights/weight_1": np.float16([1, 2]).tobytes(),
        "data/weights/weight_2": saved(tensor()),
        f"data/weights/{model}_weights_config.json": listed(WEIGHTS if weights is None else weights),
        "data/constants/tensor_0": np.float32(7).tobytes(),
        "data/constants/custom_obj_0": b"not to be opened",
        f"data/constants/{model}_constants_config.json": listed(CONSTANTS if constants is None else constants),
        f"models/{model}.json": "{}",
        f"data/sample_inputs/{model}.pt": b"not to be opened",
        "archive_format": "pt2",
        "archive_version": "0",
        "byteorder": "little",
    }
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in (members | (extra or {})).items():
            file.writestr(f"net/{name}", content)
    return Location(path)


def old_archive(
    path: Path, weights: bytes | None = None, *, suffix: str = "pt", method: int = zipfile.ZIP_STORED
) -> Location:
    """An archive as torch 2.1 to 2.7 wrote it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("serialized_exported_program.json", "{}")
        state = {"fc.weight": tensor(), "fc.mean": tensor((4, 3), (1, 4))}
        file.writestr(f"serialized_state_dict.{suffix}", saved(state) if weights is None else weights)
        file.writestr(f"serialized_constants.{suffix}", saved({"lifted_0": tensor((2,), (1,))}))
        file.writestr("serialized_example_inputs.pt", b"not to be opened")
        file.writestr("version", "8.5")
    return Location(path)
