"""TensorFlow graphs for tests, put together node by node."""

import numpy as np

from panmodel.dtypes import DType
from panmodel.model.tensor import ArrayTensor
from panmodel.model.tensorflow.graph import FunctionCall, graph_from_proto, proto_from_shape, proto_from_tensor
from panmodel.wire.tensorflow_messages import AttrValue, GraphDef, ListValue, NameAttrList, NodeDef, VersionDef


class Shape(tuple):
    """A shape attribute, as opposed to a list of integers."""


def attr(value):
    """An attribute's message from a Python value."""
    if isinstance(value, bool):
        return AttrValue(b=value)
    if isinstance(value, int):
        return AttrValue(i=value)
    if isinstance(value, float):
        return AttrValue(f=value)
    if isinstance(value, str):
        return AttrValue(s=value.encode())
    if isinstance(value, DType):
        return AttrValue(type=value.tensorflow)
    if isinstance(value, Shape):
        return AttrValue(shape=proto_from_shape(value))
    if isinstance(value, FunctionCall):
        return AttrValue(func=NameAttrList(name=value.name, attr={k: attr(v) for k, v in value.attributes.items()}))
    if isinstance(value, np.ndarray):
        return AttrValue(tensor=proto_from_tensor(ArrayTensor(value)))
    if isinstance(value, list):
        single = [attr(item) for item in value]
        kind = next(iter(single[0].present())) if single else "i"
        return AttrValue(list=ListValue(**{kind: [getattr(item, kind) for item in single]}))
    return value


def node(name, op, *inputs, device="", **attributes):
    """A NodeDef; attributes are Python values."""
    message = NodeDef(
        name=name, op=op, input=list(inputs), attr={key: attr(value) for key, value in attributes.items()}
    )
    if device:
        message.device = device
    return message


def const(name, value, dtype=None):
    """A Const node."""
    if isinstance(value, list) and value and isinstance(value[0], (str, bytes)):
        array = np.empty(len(value), object)
        array[:] = [text.encode() if isinstance(text, str) else text for text in value]
    else:
        array = np.asarray(value, dtype)
    tensor = ArrayTensor(array)
    return node(name, "Const", dtype=tensor.dtype, value=array)


def graph_def(*nodes, producer=27):
    """A GraphDef."""
    return GraphDef(node=list(nodes), versions=VersionDef(producer=producer))


def graph(*nodes, **fields):
    """A TensorFlowGraph."""
    made = graph_from_proto(graph_def(*nodes), "test.pb")
    for name, value in fields.items():
        setattr(made, name, value)
    return made
