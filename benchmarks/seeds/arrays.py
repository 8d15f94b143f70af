"""Seeds of numpy, safetensors and ONNX."""

from __future__ import annotations

import numpy as np

import panmodel as pm
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor
from seeds.seed import ALL, KERAS, MATRIX, PLAIN, New, has, tensors, write


def npy(new: New) -> None:
    text = np.empty(3, object)
    text[:] = [b"a", b"", b"some longer text"]
    arrays = {
        "float": MATRIX,
        "fortran": np.asfortranarray(MATRIX.astype(np.float64)),
        "big": np.arange(5, dtype=">i8"),
        "scalar": np.array(7, np.uint16),
        "complex": np.ones(3, np.complex64),
        "bytes": np.array([b"abc", b"d"]),
        "text": np.array(["abc", "é"]),
        "objects": text,
        "empty": np.zeros((0, 4)),
    }
    for name, array in arrays.items():
        seed = new(name)
        np.save(seed / "a.npy", array, allow_pickle=True)
        seed.done("a.npy")
    seed = new("version_2")
    with open(seed / "a.npy", "wb") as file:
        np.lib.format.write_array(file, MATRIX, version=(2, 0))
    seed.done("a.npy")


def npz(new: New) -> None:
    for name, save in (("stored", np.savez), ("deflated", np.savez_compressed)):
        seed = new(name)
        save(
            seed / "a.npz", w=MATRIX, b=np.arange(4), fortran=np.asfortranarray(MATRIX + 50), text=np.array(["a", "bc"])
        )
        seed.done("a.npz", [ALL])
    seed = new("own")
    write("npz", seed / "a.npz", Model("seed", tensors=tensors(*PLAIN)))
    seed.done("a.npz", [ALL])


def safetensors(new: New) -> None:
    small = ("bfloat16", "float8_e4m3fn", "float8_e5m2", "complex64", "uint64")
    seed = new("types")
    model = Model("seed", tensors=tensors(*PLAIN, *small), strings={"format": "pt", "é": "\n"})
    write("safetensors", seed / "a.safetensors", model)
    seed.done("a.safetensors")
    seed = new("sharded")
    model = Model("seed", tensors={f"layer{n}": ArrayTensor(MATRIX + n) for n in range(4)}, strings={"format": "pt"})
    write("safetensors", seed / "m.safetensors", model, shard_size=100)
    seed.done("m.safetensors.index.json")
    seed = new("training")  # a structure in the metadata
    write("safetensors", seed / "a.safetensors", pm.read(KERAS / "keras2_adam.h5"))
    seed.done("a.safetensors")


def onnx(new: New) -> None:
    if not has("onnx"):
        return
    from tests import onnx_files

    seed = new("graph")
    onnx_files.small_model(seed / "m.onnx")
    seed.done("m.onnx")
    seed = new("external")
    onnx_files.external(seed / "m.onnx", offset="0", length="16")
    (seed / "w.bin").write_bytes(bytes(range(16)))
    seed.done("m.onnx")
    seed = new("sparse")
    helper, kinds = onnx_files.helper, onnx_files.TensorProto
    values = helper.make_tensor("s", kinds.FLOAT, [3], [1.0, 2.0, 3.0])
    indices = helper.make_tensor("i", kinds.INT64, [3], [0, 5, 7])
    packed = helper.make_tensor("q", kinds.INT4, [3], bytes((0x21, 0x03)), raw=True)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "s"], ["y"]), helper.make_node("Cast", ["q"], ["z"], to=1)],
        "g",
        [onnx_files.info("x", (2, 4))],
        [onnx_files.info("y", (2, 4)), onnx_files.info("z", (3,))],
        [packed],
        sparse_initializer=[helper.make_sparse_tensor(values, indices, [2, 4])],
    )
    onnx_files.onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), seed / "m.onnx")
    seed.done("m.onnx")
