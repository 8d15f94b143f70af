"""Files of many small tensors, each written by the library that its format belongs to.

python benchmarks/listing_files.py FORMAT TENSORS FOLDER
"""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Made:
    """How a file is made.

    Attributes:
        library: What writes it.
        file: Its name in its folder: what it is opened by.
        write: Makes it of so many tensors.
    """

    library: str
    file: str
    write: Callable[[int, Path], None]


def arrays(count: int) -> Iterator[tuple[str, Any]]:
    """Kernels and biases of so many tensors in all, named as in a model of many layers."""
    for index in range(count):
        layer, kind = divmod(index, 2)
        shape = (3,) if kind else (2, 3)
        yield f"encoder.layer_{layer}.dense.{'bias' if kind else 'weight'}", np.full(shape, index, np.float32)


def safetensors(count: int, path: Path) -> None:
    from safetensors.numpy import save_file

    save_file(dict(arrays(count)), path, {"format": "pt"})


def sharded_safetensors(count: int, path: Path) -> None:
    from safetensors.numpy import save_file

    found, shards = list(arrays(count)), 8
    placed = {}
    for shard in range(shards):
        name = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = dict(found[shard::shards])
        save_file(part, path.parent / name, {"format": "pt"})
        placed |= dict.fromkeys(part, name)
    path.write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": placed}))


def state_dict(count: int) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(array) for name, array in arrays(count)}


def torch_zip(count: int, path: Path) -> None:
    import torch

    torch.save(state_dict(count), path)


def torch_legacy(count: int, path: Path) -> None:
    import torch

    torch.save(state_dict(count), path, _use_new_zipfile_serialization=False)


def torch_training(count: int, path: Path) -> None:
    """A model and its Adam: a parameter, two slots and a counter each."""
    import torch

    weights = state_dict(count // 4)
    slots = {
        index: {"step": torch.tensor(3.0), "exp_avg": weight * 2, "exp_avg_sq": weight * 3}
        for index, weight in enumerate(weights.values())
    }
    rates = {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "amsgrad": False}
    optimizer = {"state": slots, "param_groups": [rates | {"params": list(slots)}]}
    torch.save({"epoch": 3, "model_state_dict": weights, "optimizer_state_dict": optimizer}, path)


def torch_distributed(count: int, path: Path) -> None:
    from torch.distributed.checkpoint import save

    save(state_dict(count), checkpoint_id=path)


def checkpoint(count: int, path: Path) -> None:
    """A saver's checkpoint: a variable, two slots of Adam each."""
    import tensorflow as tf

    names, tensors = [], []
    for name, array in arrays(count // 3):
        name = name.replace(".", "/")
        names += [name, f"{name}/Adam", f"{name}/Adam_1"]
        tensors += [array] * 3
    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=list(map(tf.constant, tensors)),
    )


def checkpoint_v1(count: int, path: Path) -> None:
    import tensorflow as tf

    names, tensors = zip(*((name.replace(".", "/"), tf.constant(array)) for name, array in arrays(count)), strict=True)
    tf.raw_ops.Save(filename=str(path), tensor_names=list(names), data=list(tensors))


def object_checkpoint(count: int, path: Path) -> None:
    """A model of many layers and its Adam."""
    import tensorflow as tf

    module, optimizer = tf.Module(), tf.keras.optimizers.Adam()
    module.layers = []
    for index in range(count // 6):
        layer = tf.Module()
        layer.kernel, layer.bias = tf.Variable(tf.ones((2, 3)), name=f"kernel_{index}"), tf.Variable(tf.ones(3))
        module.layers.append(layer)
    optimizer.build([variable for layer in module.layers for variable in (layer.kernel, layer.bias)])
    tf.train.Checkpoint(model=module, optimizer=optimizer).write(str(path))


def keras_h5(count: int, path: Path) -> None:
    """Weights as Keras 2 saves them: a group for each layer, named by attributes."""
    import h5py

    layers = count // 2
    with h5py.File(path, "w") as file:
        names = np.array([f"dense_{index}".encode() for index in range(layers)])
        per_attribute = 2000
        for part in range(0, layers, per_attribute):  # an attribute holds 64 kB
            name = "layer_names" if layers <= per_attribute else f"layer_names{part // per_attribute}"
            file.attrs[name] = names[part : part + per_attribute]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.3.1"
        for index in range(layers):
            layer = file.create_group(f"dense_{index}")
            layer.attrs["weight_names"] = [f"dense_{index}/kernel:0".encode(), f"dense_{index}/bias:0".encode()]
            layer[f"dense_{index}/kernel:0"] = np.ones((2, 3), np.float32)
            layer[f"dense_{index}/bias:0"] = np.ones(3, np.float32)


def weights_h5(count: int, path: Path) -> None:
    """Weights as Keras 3 saves them: groups named by layers, datasets by their number."""
    import h5py

    with h5py.File(path, "w") as file:
        for index in range(count // 2):
            variables = file.create_group(f"layers/dense_{index}/vars")
            variables["0"], variables["1"] = np.ones((2, 3), np.float32), np.ones(3, np.float32)


def keras(count: int, path: Path) -> None:
    layers = [
        {"class_name": "Dense", "name": f"dense_{index}", "config": {"name": f"dense_{index}", "units": 3}}
        for index in range(count // 2)
    ]
    weights = path.with_name("model.weights.h5")
    weights_h5(count, weights)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("metadata.json", json.dumps({"keras_version": "3.5.0", "date_saved": "2024-10-01@12:00:00"}))
        config = {"module": "keras", "class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}
        file.writestr("config.json", json.dumps(config))
        file.write(weights, weights.name)
    weights.unlink()


def npz(count: int, path: Path) -> None:
    np.savez(path, **dict(arrays(count)))


def onnx(count: int, path: Path) -> None:
    from onnx import helper, numpy_helper, save

    tensors = [numpy_helper.from_array(array, name) for name, array in arrays(count)]
    nodes = [helper.make_node("Identity", [name], [f"{name}.out"]) for name, _ in arrays(count)]
    save(helper.make_model(helper.make_graph(nodes, "many", [], [], tensors)), path)


MAKERS = {
    "safetensors": Made("safetensors", "model.safetensors", safetensors),
    "sharded": Made("safetensors", "model.safetensors.index.json", sharded_safetensors),
    "torch zip": Made("torch", "model.pt", torch_zip),
    "torch legacy": Made("torch", "model.pt", torch_legacy),
    "torch training": Made("torch", "model.pt", torch_training),
    "torch distributed": Made("torch", "model", torch_distributed),
    "checkpoint": Made("tensorflow", "model.ckpt", checkpoint),
    "object checkpoint": Made("tensorflow", "model.ckpt", object_checkpoint),
    "checkpoint V1": Made("tensorflow", "model.ckpt", checkpoint_v1),
    "keras h5": Made("h5py", "model.h5", keras_h5),
    "weights.h5": Made("h5py", "model.weights.h5", weights_h5),
    "keras": Made("h5py", "model.keras", keras),
    "npz": Made("numpy", "model.npz", npz),
    "onnx": Made("onnx", "model.onnx", onnx),
}

if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    MAKERS[sys.argv[1]].write(int(sys.argv[2]), Path(sys.argv[3]) / MAKERS[sys.argv[1]].file)
