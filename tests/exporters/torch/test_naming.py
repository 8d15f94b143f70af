import ast
import keyword

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.exporters.torch.judge import program

from panmodel.dtypes import FLOAT32
from panmodel.exporters.torch import naming
from panmodel.model.builder import Builder
from panmodel.model.symbolic import Dim
from panmodel.model.tensor import ArrayTensor
from panmodel.runtimes import torch as runtime

HOSTILE = [
    "x\nimport os",
    'a"""\nimport os\n"""',
    "'); import os; ('",
    "__class__",
    "class",
    "1/2/3",
    "",
    "///",
    "\u202e evil \u2066",
    "日本語/層",
    "a\\\nb",
    "self",
    "torch",
    "forward",
    "super/super",
    "F",
    "print/print",
    "x" * 5000,
    "#\x00\r\x0c",
    "{x}%s",
    "_v1",
    "_m0",
]


@pytest.mark.parametrize(
    ("variable", "path"),
    [
        ("block1/conv2/kernel", ("block1", "conv2")),
        ("conv1/weights", ("conv1",)),
        ("w1", ("conv1",)),
        ("W_conv1", ("conv1",)),
        ("conv1_weights", ("conv1",)),
        ("kernel", ("conv",)),
        ("Variable_3", ("conv3",)),
        ("fc/w2", ("fc", "conv2")),
        ("layer1.0.conv.weight", ("layer1", "0", "conv")),
        ("conv/kernel:0", ("conv",)),
    ],
)
def test_layers_are_named_after_their_variables(variable, path):
    assert naming.layer_path(variable, "conv") == path


@given(st.text(max_size=60))
def test_identifiers_are_plain(text):
    for name in (naming.attribute(text, "layer"), naming.local(text, "x"), naming.class_name(text, "Net")):
        assert name.isascii()
        assert name.isidentifier()
        assert not keyword.iskeyword(name)
        assert not name.startswith("_")


@given(st.text(max_size=200))
def test_quoted_text_stays_inside_a_comment_and_a_docstring(text):
    shown = naming.quoted(text)
    assert shown.isascii()
    assert shown.isprintable() or not shown
    assert not {"\\", '"', "'"} & set(shown)


def test_attributes_hide_nothing_of_a_module():
    public = {name for name in dir(torch.nn.Module) if not name.startswith("_")}
    assert public <= naming.MODULE_ATTRIBUTES
    assert "training" in naming.MODULE_ATTRIBUTES


def hostile_graph(name):
    build = Builder(name=name or "graph")
    x = build.input(name, FLOAT32, (Dim.symbol(name or "n"), 4))
    with build.at(name + "/MatMul"):
        first = build.op("MatMul", x, build.weight(ArrayTensor(np.ones((4, 4), np.float32), name + "/kernel")))
    with build.at(name + "/Relu"):
        first = build.op("Relu", first)
    with build.at(name + "/2/MatMul"):
        y = build.op("MatMul", first, build.weight(ArrayTensor(np.ones((4, 4), np.float32), name + "/2/kernel")))
    with build.at(name):
        y = build.op("Mul", y, build.weight(ArrayTensor(np.ones((2, 1, 4), np.float32), name)))
    build.output(name, build.op("Add", y, first))
    return build.graph()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_names(name):
    made = program(hostile_graph(name), path=f"/tmp/{name}.pb")
    tree = ast.parse(made.source)
    assert [type(node) for node in tree.body[:4]] == [ast.Expr, ast.Import, ast.Import, ast.ImportFrom]
    assert {type(node) for node in tree.body[4:]} == {ast.ClassDef}
    assert made.source.isascii()
    assert made.source.splitlines()[0].startswith("# Written by panmodel")
    runtime.check_source(made.source)
    module = runtime.build(made)
    assert module(torch.ones(3, 4)).shape == (2, 3, 4)
    assert len(made.names["parameters"]) == (3 if name else 2)  # a tensor without a name has no variable


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=30))
def test_any_name_gives_source_that_passes_the_check(name):
    made = program(hostile_graph(name), path=name)
    runtime.check_source(made.source)
    assert all(len(line) <= 100 for line in made.source.splitlines() if "=" in line)
