"""TensorFlow itself is the judge of graphs: it writes what panmodel reads, and runs what panmodel freezes."""

import json

import numpy as np
import pytest
from tests.interop.tensorflow_judge import tensorflow

from panmodel.dtypes import BY_TENSORFLOW
from panmodel.formats import tensorflow_checkpoint, tensorflow_graph
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.model import Model
from panmodel.model.tensorflow.freeze import freeze
from panmodel.model.tensorflow.signature import default_signature
from panmodel.wire import tensorflow_messages
from panmodel.wire.protobuf import Message

PRELUDE = """
import json
import sys
import numpy as np
import tensorflow as tf
v1, folder = tf.compat.v1, sys.argv[1]
v1.disable_eager_execution()
"""

TENSORS = (
    PRELUDE
    + """
graph, values = v1.GraphDef(), {}
random = np.random.RandomState(0)
for kind in sys.argv[2].split():
    dtype = tf.as_dtype(kind)
    if dtype == tf.string:
        value = np.array([[b"a", b"\\xff\\0"], [b"", b"word"]], object)
    elif dtype.is_complex:
        value = (random.standard_normal((2, 2)) + 1j).astype(dtype.as_numpy_dtype)
    elif dtype.is_bool:
        value = np.array([[True, False], [False, True]])
    else:
        value = random.randint(0, 100, (2, 2)).astype(dtype.as_numpy_dtype)
    for form, array in (("plain", value), ("same", np.broadcast_to(value[:1, :1], (2, 2)))):
        node = graph.node.add(name=kind + "_" + form, op="Const")
        node.attr["dtype"].type = dtype.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array))
        if form == "same":  # one value in its list stands for all
            one = tf.make_tensor_proto(array[:1, :1])
            one.tensor_shape.CopyFrom(node.attr["value"].tensor.tensor_shape)
            node.attr["value"].tensor.CopyFrom(one)
        if dtype == tf.bfloat16:  # whose elements Python shows in a way of their own
            array = array.astype(np.float32)
        shown = [item.hex() for item in array.reshape(-1)] if dtype == tf.string else array.tolist()
        values[node.name] = str(shown)
if sys.argv[3] == "text":
    from google.protobuf import text_format
    open(folder + "/graph.pb", "w").write(text_format.MessageToString(graph))
else:
    open(folder + "/graph.pb", "wb").write(graph.SerializeToString())
json.dump(values, open(folder + "/values.json", "w"))
"""
)

TRAIN = (
    PRELUDE
    + """
def weight(name, shape, **more):
    return v1.get_variable(name, shape, initializer=v1.random_normal_initializer(seed=1), **more)


def references():
    x, t = v1.placeholder(tf.float32, [None, 6, 6, 2], "x"), v1.placeholder(tf.float32, [None, 3], "t")
    kernel = weight("kernel", [3, 3, 2, 4], use_resource=False)
    h = tf.nn.relu(tf.nn.conv2d(x, kernel, strides=[1, 1, 1, 1], padding="SAME"))
    y = tf.matmul(tf.reshape(h, [-1, 144]), weight("dense", [144, 3], use_resource=False), name="y")
    return x, y, tf.reduce_mean(v1.nn.softmax_cross_entropy_with_logits_v2(labels=t, logits=y))


def resources():
    x, t = v1.placeholder(tf.int32, [None, 5], "x"), v1.placeholder(tf.float32, [None, 2], "t")
    table = weight("table", [10, 4], use_resource=True, partitioner=v1.fixed_size_partitioner(3))
    other = weight("other", [10, 4], use_resource=True)
    h = tf.reduce_mean(tf.nn.embedding_lookup(table, x) + tf.gather(other, x), 1)
    y = tf.identity(tf.matmul(h, weight("dense", [4, 2], use_resource=True)), name="y")
    return x, y, tf.reduce_mean(tf.square(y - t))


def branches():
    x, t = v1.placeholder(tf.float32, [None, 3], "x"), v1.placeholder(tf.float32, [None, 3], "t")
    v1.disable_control_flow_v2()
    w = weight("w", [3, 3], use_resource=False)
    h = v1.cond(tf.reduce_sum(x) > 0, lambda: tf.matmul(x, w), lambda: x + tf.ones([3]))
    _, h = v1.while_loop(lambda i, h: i < 3, lambda i, h: (i + 1, tf.tanh(tf.matmul(h, w))), [tf.constant(0), h])
    y = tf.identity(h, name="y")
    return x, y, tf.reduce_mean(tf.square(y - t))


x, y, loss = globals()[sys.argv[2]]()
v1.train.AdamOptimizer().minimize(loss)
random = np.random.RandomState(0)
feed = random.randint(0, 10, (4, 5)) if x.dtype == tf.int32 else random.standard_normal([4] + x.shape.as_list()[1:])
with v1.Session() as session:
    session.run(v1.global_variables_initializer())
    np.savez(folder + "/values.npz", x=feed, y=session.run(y, {x: feed}))
    v1.train.Saver().save(session, folder + "/model.ckpt")
"""
)

RUN = (
    PRELUDE
    + """
graph = v1.GraphDef()
graph.ParseFromString(open(folder + "/frozen.pb", "rb").read())
with tf.Graph().as_default(), v1.Session() as session:
    tf.import_graph_def(graph, name="")
    stored = np.load(folder + "/values.npz")
    np.save(folder + "/again.npy", session.run(sys.argv[3], {sys.argv[2]: stored["x"]}))
"""
)

FIELDS = (
    PRELUDE
    + """
from tensorflow.core.framework import graph_pb2, types_pb2, variable_pb2
from tensorflow.core.protobuf import saved_model_pb2

messages, pending = {}, [graph_pb2.GraphDef, saved_model_pb2.SavedModel, variable_pb2.VariableDef]
def is_repeated(field):  # newer protobuf packages have no labels
    return field.is_repeated if hasattr(field, "is_repeated") else field.label == 3

pending = [message.DESCRIPTOR for message in pending]
while pending:
    message = pending.pop()
    if message.name in messages:
        continue
    messages[message.name] = {field.name: [field.number, field.type, is_repeated(field)] for field in message.fields}
    pending += [field.message_type for field in message.fields if field.message_type is not None]
found = {"messages": messages, "types": dict(types_pb2.DataType.items())}
json.dump(found, open(folder + "/fields.json", "w"))
"""
)

TYPES = (
    "float32 float64 float16 bfloat16 int8 int16 int32 int64 uint8 uint16 uint32 uint64 "
    "bool complex64 complex128 string"
)

#: Numbers of descriptor.proto's field types, and what ours are called.
KINDS = {1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 8: "bool", 9: "string", 13: "uint32", 14: "enum"}


@pytest.mark.parametrize("form", ["binary", "text"])
def test_tensors_of_every_type(form, tmp_path):
    tensorflow(TENSORS, tmp_path, TYPES, form)
    model = tensorflow_graph.FORMAT.read(Location(tmp_path / "graph.pb"))
    values = json.loads((tmp_path / "values.json").read_text())
    assert list(model.program.nodes) == list(values)
    for name, node in model.program.nodes.items():
        array = node.attributes["value"].numpy()
        assert node.attributes["value"].dtype is node.attributes["dtype"]
        shown = [item.hex() for item in array.reshape(-1)] if array.dtype == object else array.tolist()
        assert str(shown) == values[name]


@pytest.mark.parametrize("kind", ["references", "resources", "branches"])
def test_a_frozen_checkpoint_gives_the_same_results(kind, tmp_path):
    tensorflow(TRAIN, tmp_path, kind)
    graph = tensorflow_checkpoint.FORMAT.read(Location(tmp_path / "model.ckpt")).program
    inputs, outputs = default_signature(graph)
    assert (inputs, outputs) == (["x:0"], ["y:0"])
    with Sink(tmp_path / "frozen.pb") as sink:
        tensorflow_graph.FORMAT.write(Model("tensorflow_checkpoint", freeze(graph, outputs, inputs)), sink)
    tensorflow(RUN, tmp_path, *inputs, *outputs)
    np.testing.assert_array_equal(np.load(tmp_path / "again.npy"), np.load(tmp_path / "values.npz")["y"])


def test_every_field_is_declared_as_tensorflow_does(tmp_path):
    tensorflow(FIELDS, tmp_path)
    theirs = json.loads((tmp_path / "fields.json").read_text())
    ours = {
        name: value for name, value in vars(tensorflow_messages).items()
        if isinstance(value, type) and issubclass(value, Message) and value is not Message
    }  # fmt: skip
    compared = 0
    for name, message in ours.items():
        fields = theirs["messages"].get({"AnyProto": "Any"}.get(name, name), {})
        for known in message.fields.values():
            if known.name not in fields:  # newer than this TensorFlow
                continue
            number, kind, repeated = fields[known.name]
            assert (known.number, known.repeated) == (number, repeated), (name, known.name)
            if known.kind == "blob":
                assert kind in (11, 12)
            else:
                assert known.kind in {11: ("message", "map"), 12: ("bytes",)}.get(kind, (KINDS.get(kind),)), (
                    name,
                    known.name,
                )
            compared += 1
    assert compared > 140
    for name, number in theirs["types"].items():
        if number % 100 in BY_TENSORFLOW or number == 0:
            assert tensorflow_messages.DATA_TYPE[name] == number
