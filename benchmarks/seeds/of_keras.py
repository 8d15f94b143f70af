"""Seeds of Keras."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import panmodel as pm
from panmodel.model.tensor import ArrayTensor
from seeds.seed import ALL, KERAS, MATRIX, New, Seed, has, write


def _keras_root() -> Any:
    from panmodel.wire.hdf5.writing import NewDataset, NewGroup

    def variables(name: str, *arrays: Any) -> Any:
        members = {str(n): NewDataset(ArrayTensor(np.asarray(array))) for n, array in enumerate(arrays)}
        return NewGroup({"vars": NewGroup(members, {"name": name})})

    dense = variables("head", MATRIX, np.ones(4, np.float32))
    optimizer = variables("sgd", np.int64(7), np.float32(0.05), -MATRIX, -np.ones(4, np.float32))
    return NewGroup({"layers": NewGroup({"dense": dense}), "optimizer": optimizer})


def _saved(path: Path, root: Any) -> bytes:
    from panmodel.io.sink import Sink
    from panmodel.wire.hdf5.writing import save

    with Sink(path) as sink:
        save(root, sink.open())
    return path.read_bytes()


def keras_archive(new: New) -> None:
    layers = [{"class_name": "Dense", "config": {"name": "head", "units": 4}}]
    optimizer = {"class_name": "SGD", "config": {"learning_rate": 0.1, "momentum": 0.9}}
    config = {"class_name": "Sequential", "config": {"layers": layers}, "compile_config": {"optimizer": optimizer}}
    for name, method in (("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)):
        seed = new(name)
        weights = _saved(seed / "w.h5", _keras_root())
        (seed / "w.h5").unlink()
        with zipfile.ZipFile(seed / "m.keras", "w", method) as file:
            file.writestr("metadata.json", json.dumps({"keras_version": "3.9.0"}))
            file.writestr("config.json", json.dumps(config))
            file.writestr("model.weights.h5", weights)
        seed.done("m.keras", [ALL])


def keras_hdf5(new: New) -> None:
    for path in sorted(KERAS.glob("*.h5")):
        seed = new(path.stem)
        shutil.copy(path, seed / "m.h5")
        seed.done("m.h5")
    seed = new("own")
    _saved(seed / "m.weights.h5", _keras_root())
    seed.done("m.weights.h5")
    whole, seed = seed / "m.weights.h5", new("sharded")
    write("keras_hdf5", seed / "m.weights.h5", pm.read(whole), shard_size=60)
    seed.done("m.weights.json")
    if has("h5py"):
        for libver in ("earliest", "latest"):
            _h5py(new(f"h5py_{libver}"), libver)
        _fletcher(new("fletcher32"))


def _h5py(seed: Seed, libver: str) -> None:
    import h5py

    data = np.arange(120, dtype=np.float32).reshape(12, 10)
    with h5py.File(seed / "m.h5", "w", libver=libver) as file:
        file.create_dataset("gzip", data=data, chunks=(5, 4), compression="gzip", shuffle=True)
        file.create_dataset("lzf", data=data, chunks=(5, 4), compression="lzf", fletcher32=True)
        file.create_dataset("grow", data=data[0], chunks=(3,), maxshape=(None,))
        file.create_dataset("grow2", data=data, chunks=(4, 5), maxshape=(None, None))
        file.create_dataset("one", data=data[:2], chunks=(2, 10))
        file.create_dataset("empty", shape=(100, 3), dtype=np.int16, fillvalue=5)
        file.create_dataset("text", data=["a", "é", "x" * 40], dtype=h5py.string_dtype())
        file.create_dataset("fixed", data=np.array([b"abc", b"d"]))
        file["layers/dense/vars/0"] = data[:3].astype(">f8")
        file["link"] = h5py.SoftLink("/gzip")
        file["layers"].attrs["names"] = [f"name{n}" for n in range(20)]
        for n in range(12):  # more than a header holds: dense storage in a heap
            file.attrs[f"attribute{n}"] = n * 1.5
            file.require_group("many")[f"item{n}"] = np.int32(n)
        # a structure of its own for what is stored compactly
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((4,))
        h5py.h5d.create(file.id, b"compact", h5py.h5t.NATIVE_INT32, space, compact).write(
            h5py.h5s.ALL, h5py.h5s.ALL, np.arange(4, dtype=np.int32)
        )
    seed.done("m.h5")


def _fletcher(seed: Seed) -> None:
    """Chunks under Fletcher-32, plain and deflated."""
    import h5py

    payload = {}
    data = np.arange(300, dtype=np.float32).reshape(30, 10)
    with h5py.File(seed / "m.h5", "w") as file:
        for name, options in {"plain": {}, "deflated": {"compression": "gzip"}}.items():
            made = file.create_dataset(name, data=data, chunks=(30, 10), fletcher32=True, **options)
            chunk = made.id.get_chunk_info(0)
            payload[name] = ("m.h5", chunk.byte_offset, chunk.size - 4)
    seed.done("m.h5", payload=payload)
