"""Seeds of TensorFlow."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
from tests import checkpoints, object_checkpoints
from tests import tensorflow_graphs as graphs
from tests.saved_models import TEXT, write_saved_model
from tests.slice_tables import SliceTable

from panmodel import dtypes
from panmodel.model.model import Model
from panmodel.wire.protobuf import encode_bytes
from panmodel.wire.tensorflow_messages import MetaGraphDef, MetaInfoDef
from seeds.seed import ALL, MATRIX, PLAIN, New, copied, tensors, write

CHECKPOINTS = checkpoints.FIXTURES


def tensorflow_checkpoint(new: New) -> None:
    for folder, names in ((CHECKPOINTS, checkpoints.NAMES), (object_checkpoints.FIXTURES, object_checkpoints.NAMES)):
        for name in names:
            seed = new(name)
            copied(seed, folder, f"{name}.ckpt*")
            seed.done(f"{name}.ckpt", [ALL])
    for name, rewrite in (("snappy", checkpoints.with_snappy), ("big_endian", checkpoints.with_big_endian)):
        seed = new(name)
        rewrite(CHECKPOINTS / "dtypes.ckpt", seed / "dtypes.ckpt")
        seed.done("dtypes.ckpt", [ALL])
    seed = new("state_file")
    copied(seed, CHECKPOINTS, "trained.ckpt*")
    shutil.copy(CHECKPOINTS / "checkpoint", seed.place)
    seed.done("checkpoint", ["trained.ckpt.index", "trained.ckpt.data-00000-of-00001"])
    seed = new("own")
    write("tensorflow_checkpoint", seed / "m.ckpt", Model("seed", tensors=tensors(*PLAIN, "bfloat16", "complex128")))
    seed.done("m.ckpt", ["m.ckpt.index", "m.ckpt.data-00000-of-00001"])


def tensorflow_checkpoint_v1(new: New) -> None:
    for name, target in (("v1", "v1.ckpt"), ("v1s", "v1s.ckpt-00001-of-00003")):
        seed = new(name)
        copied(seed, CHECKPOINTS, f"{name}.ckpt*")
        seed.done(target, [ALL])
    text = np.array([b"x", b"yy"], object)
    seed = new("types")
    made = SliceTable().add("a", np.arange(4, dtype=np.int64)).add("b", text).add("c", np.ones(3, np.complex64))
    made.add("part", MATRIX[:2], shape=(3, 4), box=checkpoints.box((0, 2), None))
    made.add("part", MATRIX[2:], shape=(3, 4), box=checkpoints.box((2, 1), None)).write(seed / "a.ckpt")
    seed.done("a.ckpt", [ALL])
    seed = new("snappy")
    SliceTable().add("a", np.arange(40, dtype=np.float32)).add("b", text).write(seed / "a.ckpt", snappy=True)
    seed.done("a.ckpt", [ALL])


def _graph() -> Any:
    shape, kind = graphs.Shape, dtypes.FLOAT32
    return graphs.graph_def(
        graphs.node("x", "Placeholder", dtype=kind, shape=shape((None, 3))),
        graphs.const("w", MATRIX[:, :3]),
        graphs.const("text", [b"a", b"bc"]),
        graphs.const("many", np.arange(40) / 7),
        graphs.const("one", np.full((4, 4), 0.5, np.float32)),
        graphs.node("y", "MatMul", "x", "w", T=kind, transpose_a=False, transpose_b=True),
        graphs.node("z", "Conv2D", "y", "one", T=kind, strides=[1, 2, 2, 1], padding="SAME", data_format="NHWC"),
        graphs.node("out", "Identity", "z", "^text", T=kind, device="/cpu:0"),
    )


_TEXT = """# a comment
node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } }
node {
  name: "w"
  op: "Const"
  attr { key: "value" value { tensor {
    dtype: DT_FLOAT tensor_shape { dim { size: 2 } dim { size: 1 } } tensor_content: "\\000\\000\\200?\\000\\000\\000@"
  } } }
}
node { name: "v" op: "Const" attr { key: "value" value { tensor { dtype: DT_INT32 tensor_shape { dim { size: 3 } }
  int_val: 1 int_val: [2] } } } }
versions { producer: 134 }
"""


def tensorflow_graph(new: New) -> None:
    seed = new("binary")
    (seed / "graph.pb").write_bytes(encode_bytes(_graph()))
    seed.done("graph.pb")
    seed = new("text")
    (seed / "graph.pbtxt").write_text(_TEXT)
    seed.done("graph.pbtxt")


def tensorflow_meta(new: New) -> None:
    seed = new("small")
    made = MetaGraphDef(meta_info_def=MetaInfoDef(tags=["train"], tensorflow_version="1.15.0"), graph_def=_graph())
    (seed / "model.meta").write_bytes(encode_bytes(made))
    seed.done("model.meta")
    seed = new("text")
    (seed / "model.pbtxt").write_text(f'meta_info_def {{ tags: "train" }}\ngraph_def {{ {_TEXT} }}')
    seed.done("model.pbtxt")
    seed = new("tensorflow")
    shutil.copy(CHECKPOINTS / "trained.ckpt.meta", seed / "model.meta")
    seed.done("model.meta")


def tensorflow_saved_model(new: New) -> None:
    variables = [f"model/variables/variables.{suffix}" for suffix in ("index", "data-00000-of-00001")]
    seed = new("binary")
    write_saved_model(seed / "model")
    seed.done("model", variables)
    seed = new("text")
    write_saved_model(seed / "model")
    (seed / "model/saved_model.pb").unlink()
    (seed / "model/saved_model.pbtxt").write_text(TEXT)
    seed.done("model", variables)
