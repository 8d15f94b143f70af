import onnx
import pytest

from panmodel.wire import onnx_messages

MESSAGES = [
    "ModelProto",
    "GraphProto",
    "NodeProto",
    "AttributeProto",
    "TensorProto",
    "ValueInfoProto",
    "TypeProto",
    "TensorShapeProto",
    "FunctionProto",
    "OperatorSetIdProto",
    "StringStringEntryProto",
]


@pytest.mark.parametrize("name", MESSAGES)
def test_fields_have_the_numbers_of_onnx(name):
    theirs = {field.name: field.number for field in getattr(onnx, name).DESCRIPTOR.fields}
    ours = {field.name: number for number, field in getattr(onnx_messages, name).fields.items()}
    assert ours.items() <= theirs.items()


def test_kinds_of_attributes_have_the_numbers_of_onnx():
    for name, number in onnx.AttributeProto.AttributeType.items():
        if name != "UNDEFINED":
            assert getattr(onnx_messages, name) == number
