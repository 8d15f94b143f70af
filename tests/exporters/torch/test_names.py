"""names.json leads every parameter back to its variable, bit for bit."""

import json

import numpy as np
from tests.exporters.torch.judge import BATCH, conv, op, program, weight

from panmodel.dtypes import FLOAT32
from panmodel.model.builder import Builder
from panmodel.model.tensor import ArrayTensor, undo
from panmodel.runtimes import torch as runtime


def graph():
    build = Builder()
    x = build.input("x:0", FLOAT32, (BATCH, 4, 8, 8))
    x = conv(build, x, "block/conv1", 6, 3)
    build.rename(x, "block/conv1/BiasAdd:0")
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    x = op(build, "block/bn/f", "BatchNormalization", x, *(weight(build, f"block/bn/{name}", 6) for name in names))
    x = build.reshape(x, (BATCH, 384))
    x = op(build, "fc/MatMul", "MatMul", x, weight(build, "fc/weights", 384, 10))
    x = op(build, "fc/BiasAdd", "Add", x, weight(build, "fc/biases", 10))
    folded = build.weight(ArrayTensor(np.ones(10, np.float32), origins=["a", "b"]), "folded")
    build.output("probs:0", op(build, "mul", "Mul", x, folded))
    return build.graph()


def test_every_parameter_leads_back_to_its_variable():
    source_graph = graph()
    made = program(source_graph)
    module = runtime.build(made)
    state = module.state_dict()
    variables = {value.tensor.base.name: value.tensor.base.numpy() for value in source_graph.initializers()}
    for name, entry in made.names["parameters"].items():
        steps = [(kind, tuple(numbers)) for kind, numbers in entry["steps"]]
        back = undo(state[name].numpy(), tuple(entry["shape"]), steps)
        np.testing.assert_array_equal(back, variables[entry["variable"]])
    assert {entry["variable"] for entry in made.names["parameters"].values()} == set(variables) - {""}


def test_parameters_follow_their_variables():
    made = program(graph())
    variables = {entry["variable"]: name for name, entry in made.names["parameters"].items()}
    assert variables["block/conv1/kernel"] == "block.conv1.weight"
    assert variables["block/conv1/bias"] == "block.conv1.bias"
    assert variables["block/bn/gamma"] == "block.bn.weight"
    assert variables["block/bn/moving_variance"] == "block.bn.running_var"
    assert variables["fc/weights"] == "fc.weight"
    assert made.names["parameters"]["block.conv1.weight"] == {
        "variable": "block/conv1/kernel",
        "shape": [3, 3, 4, 6],
        "steps": [["transpose", [3, 2, 0, 1]]],
    }


def test_the_state_is_complete_and_loads_strictly():
    made = program(graph())
    module = runtime.build(made)
    assert list(module.state_dict()) == list(made.state) or set(module.state_dict()) == set(made.state)
    assert made.state["block.bn.num_batches_tracked"].numpy() == 0


def test_the_rest_of_the_names():
    names = program(graph()).names
    assert names["derived"] == {next(iter(names["derived"])): {"from": ["a", "b"]}}
    assert names["inputs"][0]["tensor"] == "x:0"
    assert names["outputs"][0]["tensor"] == "probs:0"
    assert names["values"]["block.conv1"] == {"tensor": "block/conv1/BiasAdd:0", "layout": "NCHW"}
    assert names["permutes"] == 0
    json.dumps(names)
