import ast

import numpy as np
import pytest
from tests.exporters.torch.execution import graph_of, ints, numbers, weight

from panmodel.dtypes import FLOAT32, INT64
from panmodel.errors import CorruptError, UnsupportedError, UnsupportedOperatorsError
from panmodel.exporters.torch.emitter import Emitter, Module, Parameter
from panmodel.model.builder import Builder
from panmodel.model.graph import Graph, Node, Value
from panmodel.model.tensor import ArrayTensor


def emitter():
    build = Builder()
    x = build.input("x", FLOAT32, (2, 3))
    build.output("y", build.op("Relu", x))
    return Emitter(build.graph()), build, x


def test_numbers_stand_in_the_source_and_weights_do_not():
    emit, build, x = emitter()
    assert emit.number(build.constant([0.1])) == "0.1"
    assert emit.number(build.constant([0.1, 2.0])) is None
    assert emit.number(weight(build, np.float32([0.1]))) is None
    assert emit.number(x) is None


def test_a_number_must_mean_the_same_as_its_tensor():
    emit, build, x = emitter()
    assert emit.scalar(build.constant(2.0), x) == "2.0"
    for other in (build.constant([[[2.0]]]), build.constant(2, INT64)):  # a wider rank, another type
        assert emit.scalar(other, x).startswith("_v")
    assert emit.scalar(build.constant(2.0), build.constant(3.0)).startswith("_v")


def test_what_is_known_of_integers():
    emit, build, x = emitter()
    assert emit.integers(ints(build, 3, -1)) == (3, -1)
    assert emit.integers(build.constant(np.zeros((0, 2), np.int64))) == ()
    assert emit.integers(x) is None
    assert emit.floats(build.constant([0.5, 2.0])) == (0.5, 2.0)
    assert emit.elements(ints(build, 3, -1)) == ["3", "-1"]
    index = build.input("index", INT64, (2,))
    assert emit.elements(index) == [f"{emit(index)}[0].item()", f"{emit(index)}[1].item()"]
    assert emit.elements(build.input("any", INT64, None)) is None
    with pytest.raises(UnsupportedError, match="the axes are computed"):
        emit.static(index, "the axes")


def test_ranks_and_types_that_must_be_there():
    emit, build, x = emitter()
    assert emit.rank(x) == 2
    assert emit.dtype(FLOAT32) == "torch.float32"
    for ask in (lambda: emit.rank(build.input("u", FLOAT32, None)), lambda: emit.dtype(None), lambda: emit(None)):
        with pytest.raises(UnsupportedError):
            ask()


def test_equal_layers_are_one():
    emit, _, _ = emitter()
    tensor = ArrayTensor(numbers(3, 2), "scope/fc/kernel")
    first = emit.module("fc", "nn.Linear(2, 3", {"bias": "False"}, weight=tensor)
    assert emit.module("fc", "nn.Linear(2, 3", {"bias": "False"}, weight=tensor) == first
    assert emit.module("fc", "nn.Linear(2, 3", {}, weight=tensor) != first
    module = emit.emitted.references[first]
    assert isinstance(module, Module)
    assert (module.constructor, module.path) == ("nn.Linear(2, 3, bias=False)", ("scope", "fc"))


def test_only_what_the_outputs_need_is_written_in_order():
    def apply(build, x):
        build.op("Exp", x)
        return build.op("Relu", build.op("Abs", x))

    emitted = Emitter(graph_of(apply, numbers(2))).run()
    assert [step.node.op for step in emitted.steps] == ["Abs", "Relu"]
    assert [ast.unparse(step.tree)[:6] for step in emitted.steps] == ["torch.", "F.relu"]


def test_parameters_train_where_they_are_stored_floats():
    def apply(build, x):
        stored = build.op("Mul", x, weight(build, numbers(2, 2)))
        return build.op("Add", stored, build.constant([[1.0, 2.0]]))

    emitted = Emitter(graph_of(apply, numbers(2, 2))).run()
    found = [each for each in emitted.references.values() if isinstance(each, Parameter)]
    assert {(each.trains, each.expression) for each in found} == {(True, None), (False, "torch.tensor([[1.0, 2.0]])")}


def test_all_refusals_come_in_one_error():
    def apply(build, x):
        build.opsets["other"] = 1
        return build.op("First", build.op("Second", x, domain="other"), domain="other")

    with pytest.raises(UnsupportedOperatorsError) as caught:
        Emitter(graph_of(apply, numbers(2))).run()
    assert [found.operator for found in caught.value.found] == ["other.Second", "other.First"]


def test_malformed_nodes_are_corrupt():
    x, y = Value("x", FLOAT32, (2,)), Value("y", FLOAT32, (2,))
    node = Node("Elu", (x,), (y,), {"alpha": "much"}, "n")
    with pytest.raises(CorruptError, match="malformed Elu"):
        Emitter(Graph([x], {"y": y}, [node], 18)).run()
