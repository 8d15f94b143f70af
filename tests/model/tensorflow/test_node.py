import numpy as np
import pytest
from tests.tensorflow_graphs import Shape, node

from panmodel.dtypes import FLOAT32, INT32
from panmodel.errors import CorruptError
from panmodel.model.tensor import Tensor
from panmodel.model.tensorflow.graph import FunctionCall
from panmodel.model.tensorflow.node import AttributeReference, TensorFlowNode, split_name
from panmodel.wire.protobuf import decode_bytes, encode_bytes
from panmodel.wire.tensorflow_messages import AttrValue, ListValue, NodeDef, TensorShapeProto


def stored(message):
    """The node as it comes out of a file."""
    return TensorFlowNode(decode_bytes(NodeDef, encode_bytes(message)))


def test_inputs_have_ports_and_controls_are_apart():
    found = stored(node("n", "Op", "a", "b:2", "^c", "d:0", device="/cpu:0"))
    assert (found.inputs, found.controls, found.device) == (("a:0", "b:2", "d:0"), ("c",), "/cpu:0")


@pytest.mark.parametrize(
    "value",
    [
        b"\xff\0",
        0,
        -5,
        1.5,
        True,
        False,
        FLOAT32,
        (None, 3),
        (),
        [1, 2],
        [b"a"],
        [0.5],
        [True, False],
        [FLOAT32, INT32],
    ],
)
def test_attributes_are_python_values(value):
    given = AttrValue(s=value) if isinstance(value, bytes) else Shape(value) if isinstance(value, tuple) else value
    if value == [b"a"]:
        given = AttrValue(list=ListValue(s=value))
    found = stored(node("n", "Op", a=given)).attributes["a"]
    assert found == value and type(found) is type(value)


def test_attributes_of_messages():
    call = FunctionCall("f", {"T": FLOAT32, "n": 1})
    attributes = stored(
        node(
            "n",
            "Op",
            call=call,
            calls=[call],
            value=np.array([1, 2], np.int32),
            shapes=[Shape((1, None)), Shape()],
            unknown=AttrValue(shape=TensorShapeProto(unknown_rank=True)),
            empty=AttrValue(list=ListValue()),
            reference=AttrValue(placeholder="T"),
            invalid=AttrValue(type=0),
            ref=AttrValue(type=103),
        )
    ).attributes
    assert attributes["call"] == call and attributes["calls"] == [call]
    assert isinstance(attributes["value"], Tensor) and attributes["value"].name == "n"
    assert attributes["value"].numpy().tolist() == [1, 2]
    assert attributes["shapes"] == [(1, None), ()] and attributes["unknown"] is None
    assert attributes["empty"] == [] and attributes["invalid"] is None and attributes["ref"] is INT32
    assert attributes["reference"] == AttributeReference("T")


def test_reading_an_attribute_with_a_default():
    found = stored(node("n", "Op", axis=2, padding="SAME"))
    assert (found.attr("axis", 0), found.attr("other", 7), found.text("padding")) == (2, 7, "SAME")
    assert found.required("axis", int) == 2
    for wrong in (
        lambda: found.attr("axis", b""),
        lambda: found.required("no", int),
        lambda: found.required("axis", float),
    ):
        with pytest.raises(CorruptError, match="node 'n'"):
            wrong()


def test_unknown_types_are_named():
    with pytest.raises(CorruptError, match="node 'n', attribute 'T': element type number 77"):
        _ = stored(node("n", "Op", T=AttrValue(type=77))).attributes


def test_tensor_names():
    assert split_name("a/b") == ("a/b", 0) and split_name("a/b:12") == ("a/b", 12)
    for wrong in ("a:b", "a:", "a:-1", "a:²"):
        with pytest.raises(CorruptError):
            split_name(wrong)
