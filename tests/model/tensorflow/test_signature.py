"""Inputs and outputs that are found by themselves, on training graphs as people wrote them."""

from pathlib import Path

import numpy as np
import pytest
from tests.tensorflow_graphs import Shape, const, graph, node

from panmodel.dtypes import FLOAT32, INT64
from panmodel.errors import UsageError
from panmodel.io.source import Location
from panmodel.model.tensorflow.graph import Signature, meta_graph
from panmodel.model.tensorflow.signature import default_signature

ROOT = Path(__file__).parents[3]


def placeholder(name, dtype=FLOAT32):
    return node(name, "Placeholder", dtype=dtype, shape=Shape((None, 4)))


def variable(name):
    return node(name, "VariableV2", dtype=FLOAT32, shape=Shape((4, 4)))


def saver(*variables):
    """What tf.train.Saver adds."""
    names = list(variables)
    return [
        const("save/Const", ["model"]),
        const("save/SaveV2/names", names),
        const("save/SaveV2/slices", [""] * len(names)),
        node("save/SaveV2", "SaveV2", "save/Const", "save/SaveV2/names", "save/SaveV2/slices", *names),
        node("save/restore", "RestoreV2", "save/Const", "save/SaveV2/names", "save/SaveV2/slices"),
        *(node(f"save/Assign_{i}", "Assign", name, f"save/restore:{i}") for i, name in enumerate(names)),
    ]


def training(*names):
    """What an optimizer adds for variables."""
    nodes = []
    for name in names:
        nodes += [
            node(f"gradients/{name}_grad/MatMul", "MatMul", "x", "loss"),
            node(f"train/{name}", "ApplyGradientDescent", name, "rate", f"gradients/{name}_grad/MatMul"),
        ]
    return [const("rate", 0.1, np.float32), *nodes]


def layer(name, source, op=None):
    """A dense layer; ends in `name` itself."""
    nodes = [variable(f"{name}/w"), node(f"{name}/w/read", "Identity", f"{name}/w")]
    nodes.append(node(f"{name}/MatMul" if op else name, "MatMul", source, f"{name}/w/read"))
    return [*nodes, node(name, op, f"{name}/MatMul")] if op else nodes


def test_a_plain_graph_goes_from_its_placeholders_to_its_ends():
    plain = graph(placeholder("x"), *layer("h", "x", "Relu"), *layer("a", "h"), *layer("b", "h"))
    assert default_signature(plain) == (["x:0"], ["a:0", "b:0"])


def test_the_saver_and_initialisers_are_set_aside():
    nodes = [placeholder("x"), *layer("y", "x"), const("init", [[0.0]]), node("y/w/Assign", "Assign", "y/w", "init")]
    assert default_signature(graph(*nodes, *saver("y/w"))) == (["x:0"], ["y:0"])


def test_a_label_ends_the_forward_graph():
    nodes = [placeholder("x"), placeholder("t"), *layer("y", "x"), node("error", "Sub", "y", "t")]
    nodes += [node("loss", "Mean", "error"), *training("y/w")]
    assert default_signature(graph(*nodes)) == (["x:0"], ["y:0"])


def test_probabilities_are_preferred_to_logits_and_decisions():
    nodes = [placeholder("x"), placeholder("t"), *layer("logits", "x"), node("p", "Softmax", "logits")]
    nodes += [node("shape", "Shape", "logits"), node("flat", "Reshape", "logits", "shape")]
    nodes += [node("loss", "SoftmaxCrossEntropyWithLogits", "flat", "t"), const("axis", 1)]
    nodes += [node("class", "ArgMax", "p", "axis"), node("truth", "ArgMax", "t", "axis")]
    nodes += [node("right", "Equal", "class", "truth"), *training("logits/w")]
    assert default_signature(graph(*nodes)) == (["x:0"], ["p:0"])


def test_terms_of_a_loss_are_no_outputs():
    """A cross entropy of logits: max(x, 0) - x * t + log(1 + exp(-|x|))."""
    nodes = [
        placeholder("x"),
        placeholder("t"),
        *layer("y", "x"),
        node("relu", "Relu", "y"),
        node("mul", "Mul", "y", "t"),
    ]
    nodes += [
        node("abs", "Abs", "y"),
        node("neg", "Neg", "abs"),
        node("exp", "Exp", "neg"),
        node("log", "Log1p", "exp"),
    ]
    nodes += [node("sub", "Sub", "relu", "mul"), node("loss", "Add", "sub", "log"), *training("y/w")]
    assert default_signature(graph(*nodes)) == (["x:0"], ["y:0"])


def test_a_penalty_on_weights_makes_no_input_of_a_label():
    nodes = [placeholder("x"), placeholder("t"), *layer("y", "x"), node("error", "Sub", "y", "t")]
    nodes += [node("l2", "L2Loss", "y/w/read"), node("loss", "Add", "error", "l2"), *training("y/w")]
    assert default_signature(graph(*nodes)) == (["x:0"], ["y:0"])


def test_a_second_input_that_joins_before_a_layer_is_an_input():
    nodes = [placeholder("x"), placeholder("extra"), placeholder("t"), *layer("h", "x", "Relu"), const("axis", 1)]
    nodes += [node("cat", "ConcatV2", "h", "extra", "axis"), *layer("y", "cat"), node("loss", "Sub", "y", "t")]
    assert default_signature(graph(*nodes, *training("y/w"))) == (["x:0", "extra:0"], ["y:0"])


def test_both_ends_of_an_input_pipeline_are_told_apart():
    nodes = [node("it", "IteratorV2"), node("next", "IteratorGetNext", "it", output_types=[FLOAT32, FLOAT32])]
    nodes += [*layer("y", "next"), node("loss", "Sub", "y", "next:1"), *training("y/w")]
    nodes[-2].input = ["next", "loss"]
    assert default_signature(graph(*nodes)) == (["next:0"], ["y:0"])


def test_an_autoencoder_is_cut_where_its_input_comes_back():
    nodes = [placeholder("x"), *layer("h", "x", "Relu"), *layer("y", "h"), node("error", "Sub", "x", "y")]
    nodes += [node("loss", "Mean", "error"), *training("y/w", "h/w")]
    assert default_signature(graph(*nodes)) == (["x:0"], ["y:0"])


def test_what_goes_on_to_the_end_of_the_graph_is_the_output():
    nodes = [placeholder("x"), placeholder("t"), *layer("y", "x"), node("loss", "Sub", "y", "t"), const("perm", [1, 0])]
    assert default_signature(graph(*nodes, node("nchw", "Transpose", "y", "perm"), *training("y/w"))) == (
        ["x:0"],
        ["nchw:0"],
    )


def test_a_squeezed_prediction_keeps_its_form():
    nodes = [
        placeholder("x"),
        placeholder("t"),
        *layer("y", "x"),
        node("flat", "Squeeze", "y"),
        node("loss", "Sub", "flat", "t"),
    ]
    assert default_signature(graph(*nodes, *training("y/w"))) == (["x:0"], ["flat:0"])


def test_summaries_moving_averages_and_checks_are_no_outputs():
    nodes = [placeholder("x"), placeholder("t"), *layer("y", "x"), node("loss", "Sub", "y", "t"), variable("mean")]
    nodes += [node("scaled", "Neg", "y"), node("summary", "HistogramSummary", "scaled"), node("moment", "Exp", "y")]
    nodes += [
        node("update", "AssignSub", "mean", "moment"),
        node("ok", "Greater", "y", "y"),
        node("assert", "Assert", "ok"),
    ]
    assert default_signature(graph(*nodes, *training("y/w"))) == (["x:0"], ["y:0"])


def test_resource_variables_count_as_weights():
    nodes = [placeholder("x"), placeholder("t"), node("w", "VarHandleOp", dtype=FLOAT32, shape=Shape((4, 4)))]
    nodes += [node("w/read", "ReadVariableOp", "w", dtype=FLOAT32), node("y", "MatMul", "x", "w/read")]
    nodes += [node("loss", "Sub", "y", "t"), node("update", "ResourceApplyGradientDescent", "w", "loss", "loss")]
    assert default_signature(graph(*nodes)) == (["x:0"], ["y:0"])


def test_switches_with_a_constant_default_are_no_inputs():
    nodes = [
        placeholder("x"),
        const("one", 1.0, np.float32),
        node("keep", "PlaceholderWithDefault", "one"),
        *layer("h", "x"),
    ]
    assert default_signature(graph(*nodes, node("y", "Mul", "h", "keep"))) == (["x:0"], ["y:0"])


def test_a_frozen_graph_with_several_results():
    nodes = [placeholder("x"), node("parts", "Split", "axis", "x", num_split=3), const("axis", 0)]
    assert default_signature(graph(*nodes)) == (["x:0"], ["parts:0", "parts:1", "parts:2"])


def test_a_frozen_graph_of_constants_and_one_of_shapes():
    assert default_signature(graph(const("a", [1.0, 2.0]), node("b", "Neg", "a"))) == ([], ["b:0"])
    assert default_signature(graph(placeholder("x"), node("y", "Shape", "x"))) == (["x:0"], ["y:0"])


def test_a_signature_says_it_all():
    two = {"serving_default": Signature({"x": "x:0"}, {"y": "h:0"}), "other": Signature({}, {"y": "y:0"})}
    nodes = [placeholder("x"), *layer("h", "x"), *layer("y", "h")]
    assert default_signature(graph(*nodes, signatures=two)) == (["x:0"], ["h:0"])
    assert default_signature(graph(*nodes, signatures={"one": two["serving_default"]})) == (["x:0"], ["h:0"])


def test_nothing_to_find_is_said():
    with pytest.raises(UsageError, match="cannot tell what the outputs") as caught:
        default_signature(graph(variable("w"), *saver("w")))
    assert "--outputs" in caught.value.hint


def test_the_digit_classifier_of_the_examples():
    found, _ = meta_graph(Location(ROOT / "examples" / "digits" / "model.ckpt.meta"))
    assert default_signature(found) == (["images:0"], ["probabilities:0"])


def test_labels_of_integers():
    nodes = [placeholder("x"), placeholder("t", INT64), *layer("y", "x")]
    nodes += [node("loss", "SparseSoftmaxCrossEntropyWithLogits", "y", "t"), *training("y/w")]
    assert default_signature(graph(*nodes)) == (["x:0"], ["y:0"])
