"""How operators find their handlers, and what a handler asks of a node."""

import importlib
import pkgutil

import pytest
from tests.tensorflow_graphs import graph, node

from panmodel.dtypes import FLOAT32, INT64
from panmodel.errors import CorruptError
from panmodel.importers import tensorflow
from panmodel.importers.tensorflow import registry
from panmodel.importers.tensorflow.registry import Operation, handlers, importer_op, renamed
from panmodel.model.builder import Builder
from panmodel.wire.tensorflow_messages import AttrValue, NodeDef


@pytest.fixture
def empty(monkeypatch):
    """A registry of its own, so that nothing stays behind."""
    found = {}
    monkeypatch.setattr(registry, "_HANDLERS", found)
    return found


def operation(*inputs, op="Odd", **attributes):
    source = graph(node("y", op, **attributes))
    return Operation(source.nodes["y"], inputs, source)


def test_every_module_of_the_folder_is_loaded():
    modules = {f"{tensorflow.__name__}.{info.name}" for info in pkgutil.iter_modules(tensorflow.__path__)}
    registering = {handler.__module__ for handler in handlers().values()}
    assert registering <= modules
    assert all(importlib.import_module(name) for name in modules)
    assert list(handlers()) == sorted(handlers())
    assert {"Conv2D", "MatMul", "Relu", "FusedBatchNormV3", "ConcatV2"} <= set(handlers())


def test_a_handler_has_several_operators(empty):
    @importer_op("A", "B")
    def handle(node, build):
        return node.x

    assert empty == {"A": handle, "B": handle}


def test_two_handlers_of_one_operator_are_a_mistake(empty):
    renamed({"A": "Relu"})
    with pytest.raises(ValueError, match="A has two handlers: renamed to Relu and renamed to Neg"):
        renamed({"A": "Neg"})


def test_renamed_operators_keep_their_operands(empty):
    renamed({"Twice": "Add"})
    build = Builder()
    x, z = build.input("x", FLOAT32, (2,)), build.input("z", FLOAT32, (2,))
    result = empty["Twice"](operation(x, z, op="Twice"), build)
    assert (result.node.op, result.node.inputs) == ("Add", (x, z))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_renamed_operators_have_as_many_operands_as_onnx_says(empty, count):
    renamed({"Twice": "Add"})
    build = Builder()
    inputs = [build.input(name, FLOAT32, (2,)) for name in "abc"[:count]]
    with pytest.raises(CorruptError, match=rf"y.*Twice has {count} operands, expected 2"):
        empty["Twice"](operation(*inputs, op="Twice"), build)


def test_operands_by_place():
    x = Builder().input("x", FLOAT32, ())
    assert operation(x).x is operation(x).input(0) is x
    with pytest.raises(CorruptError, match="Odd has 1 operands, expected at least 3"):
        operation(x).input(2)
    with pytest.raises(CorruptError, match="expected at least 1"):
        _ = operation().x


def test_attributes_have_the_default_that_is_passed():
    node_ = operation(padding="SAME", n=3, strides=[1, 2], T=INT64)
    assert (node_.name, node_.op) == ("y", "Odd")
    assert node_.text("padding") == "SAME" and node_.text("data_format", "NHWC") == "NHWC"
    assert node_.attr("n") == 3 and node_.attr("strides") == [1, 2] and node_.attr("none", 0.5) == 0.5
    assert isinstance(node_.text("n"), str)


def test_the_type_is_that_of_the_attribute_or_of_the_first_operand():
    x = Builder().input("x", FLOAT32, ())
    assert operation(x, T=INT64).dtype() is INT64
    assert operation(x).dtype() is FLOAT32
    assert operation(x, T=3).dtype("T") is FLOAT32  # a number is no type
    with pytest.raises(CorruptError, match="no type attribute 'out_type'"):
        operation(T=INT64).dtype("out_type")


def test_text_that_is_no_utf8_is_shown_as_far_as_it_is():
    source = graph(NodeDef(name="y", op="Odd", attr={"padding": AttrValue(s=b"SA\xffE")}))
    assert Operation(source.nodes["y"], (), source).text("padding") == "SA\ufffdE"
