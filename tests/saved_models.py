"""SavedModels for tests: a graph with two variables, its bundle and what lies beside."""

from pathlib import Path

import numpy as np
from tests.checkpoints import Writer, shape_proto

from panmodel.wire.protobuf import encode_bytes
from panmodel.wire.tensorflow_fingerprint import FingerprintDef
from panmodel.wire.tensorflow_messages import (
    AttrValue,
    GraphDef,
    MetaGraphDef,
    MetaInfoDef,
    NodeDef,
    SavedModel,
    SignatureDef,
    TensorInfo,
    VersionDef,
)

WEIGHT = np.arange(6, dtype=np.float32).reshape(3, 2)
BIAS = np.array([0.5, -0.5], np.float32)
FLOAT = AttrValue(type=1)

TEXT = """
saved_model_schema_version: 1
meta_graphs {
  meta_info_def { tags: "serve" tensorflow_version: "1.15.5" }
  graph_def { node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } } }
}
"""


def node(name, op, *inputs, **attributes):
    return NodeDef(name=name, op=op, input=list(inputs), attr=attributes)


def meta_graph(tags=("serve",)):
    """y = x · weight + bias."""
    nodes = [
        node("x", "Placeholder", dtype=FLOAT, shape=AttrValue(shape=shape_proto((4, 3)))),
        node("weight", "VariableV2", dtype=FLOAT, shape=AttrValue(shape=shape_proto((3, 2)))),
        node("bias", "VariableV2", dtype=FLOAT, shape=AttrValue(shape=shape_proto((2,)))),
        node("product", "MatMul", "x", "weight", T=FLOAT),
        node("y", "BiasAdd", "product", "bias", T=FLOAT),
    ]
    info = {
        name: TensorInfo(name=f"{name}:0", dtype=1, tensor_shape=shape_proto((4, n)))
        for name, n in (("x", 3), ("y", 2))
    }
    signature = SignatureDef(inputs={"in": info["x"]}, outputs={"out": info["y"]}, method_name="predict")
    return MetaGraphDef(
        meta_info_def=MetaInfoDef(tags=list(tags), tensorflow_version="1.15.5"),
        graph_def=GraphDef(node=nodes, versions=VersionDef(producer=134)),
        signature_def={"serving_default": signature},
    )


def write_saved_model(folder, *metas, schema=1):
    """Make the folder with all that can be in it."""
    folder = Path(folder)
    for name in ("variables", "assets"):
        (folder / name).mkdir(parents=True)
    proto = SavedModel(saved_model_schema_version=schema, meta_graphs=list(metas) or [meta_graph()])
    (folder / "saved_model.pb").write_bytes(encode_bytes(proto))
    (folder / "assets" / "words.txt").write_text("one\n")
    (folder / "keras_metadata.pb").write_bytes(b"")
    fingerprint = FingerprintDef(saved_model_checksum=7, checkpoint_hash=9, version=VersionDef(producer=1), uuid="u")
    (folder / "fingerprint.pb").write_bytes(encode_bytes(fingerprint))
    Writer(folder / "variables", "variables").add("weight", WEIGHT).add("bias", BIAS).write()
    return folder
