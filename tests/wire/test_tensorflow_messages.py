import pytest

from panmodel.dtypes import BY_TENSORFLOW
from panmodel.io.source import MemorySource
from panmodel.wire import tensorflow_messages
from panmodel.wire.protobuf import Message, decode_bytes, encode_bytes
from panmodel.wire.prototext import decode_text
from panmodel.wire.tensorflow_messages import DATA_TYPE, REF, AttrValue, FunctionDef, NodeDef, TensorProto

MESSAGES = [
    value
    for value in vars(tensorflow_messages).values()
    if isinstance(value, type) and issubclass(value, Message) and value is not Message
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_fields_refer_to_messages_and_have_their_own_numbers(message):
    assert message.__doc__ and len(message.fields) == len(message.by_name)
    for known in message.fields.values():
        assert not known.nested or issubclass(known.message, Message)


def test_every_element_type_has_a_name_in_the_text_form():
    assert DATA_TYPE["DT_FLOAT"] == 1 and DATA_TYPE["DT_HALF"] == 19 and DATA_TYPE["DT_BFLOAT16_REF"] == 114
    assert DATA_TYPE["DT_FLOAT8_E4M3FN"] == 25 and DATA_TYPE["DT_INVALID"] == 0
    assert {number % REF for number in DATA_TYPE.values()} == {0, *BY_TENSORFLOW}


def test_a_node_as_tensorflow_writes_it():
    """Bytes of node { name: "a" op: "Cast" input: "b" attr { key: "DstT" value { type: DT_INT32 } } }."""
    data = bytes.fromhex("0a0161 120443617374 1a0162 2a0a 0a0444737454 1202 3003")
    node = decode_bytes(NodeDef, data)
    assert (node.name, node.op, node.input, node.attr) == ("a", "Cast", ["b"], {"DstT": AttrValue(type=3)})
    assert encode_bytes(node) == data


def test_argument_attributes_of_functions_are_numbered():
    text = 'arg_attr { key: 2 value { attr { key: "_name" value { s: "x" } } } } ret { key: "y" value: "z:0" }'
    function = decode_text(FunctionDef, MemorySource(text.encode()))
    assert function.arg_attr[2].attr["_name"].s == b"x" and function.ret == {"y": "z:0"}
    assert decode_bytes(FunctionDef, encode_bytes(function)) == function


def test_numbers_of_the_text_form_are_lists():
    tensor = decode_text(TensorProto, MemorySource(b"dtype: DT_INT32 int_val: 1 int_val: [2, 3]"))
    assert tensor.dtype == 3 and tensor.int_val == [1, 2, 3]
    assert decode_bytes(TensorProto, encode_bytes(tensor)).int_val.array().tolist() == [1, 2, 3]
