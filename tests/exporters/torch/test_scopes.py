"""Which classes a graph becomes."""

import re

import numpy as np
from tests.exporters.torch.judge import BATCH, check, conv, op, program, weight

from panmodel.dtypes import FLOAT32, INT64
from panmodel.model.builder import Builder
from panmodel.model.symbolic import Dim

IMAGE = (BATCH, 4, 8, 8)
X = np.random.default_rng(1).normal(size=(2, 4, 8, 8)).astype(np.float32)


def block(build, x, name, channels):
    y = op(build, f"{name}/conv1/Relu", "Relu", conv(build, x, f"{name}/conv1", channels))
    y = conv(build, y, f"{name}/conv2", channels)
    shortcut = conv(build, x, f"{name}/shortcut", channels, 1)
    return op(build, f"{name}/Relu", "Relu", op(build, f"{name}/add", "Add", y, shortcut))


def source_of(build, x):
    build.output("y:0", x)
    return program(build.graph()).source


def classes(source):
    return re.findall(r"^class (\w+)", source, re.MULTILINE)


def test_repeated_scopes_are_one_class_with_arguments(tmp_path):
    build = Builder()
    x = build.input("x:0", FLOAT32, IMAGE)
    for index, channels in enumerate((8, 8, 16), 1):
        x = block(build, x, f"net/block{index}", channels)
    build.output("y:0", x)
    source = check(build.graph(), [X], tmp_path, tolerance=1e-4)
    assert classes(source) == ["Block", "Net"]
    assert "def __init__(self, in_channels, out_channels):" in source
    assert [line.strip() for line in source.splitlines() if "= Block(" in line] == [
        "self.block1 = Block(4, 8)",
        "self.block2 = Block(8, 8)",
        "self.block3 = Block(8, 16)",
    ]
    assert "y = F.relu(self.conv1(x))\n        y = self.conv2(y)\n        return F.relu(y + self.shortcut(x))" in source


def test_a_scope_with_one_layer_is_no_class():
    build = Builder()
    x = build.input("x:0", FLOAT32, IMAGE)
    for name in ("conv1", "conv2"):
        x = op(build, f"{name}/Relu", "Relu", conv(build, x, name, 4))
    source = source_of(build, x)
    assert classes(source) == ["Net"]
    assert "x = F.relu(self.conv1(x))\n        return F.relu(self.conv2(x))" in source


def test_what_crosses_the_border_is_passed_and_returned(tmp_path):
    build = Builder()
    x = build.input("x:0", FLOAT32, IMAGE)
    stem = conv(build, x, "stem", 4)
    first, second = conv(build, stem, "heads/a", 4), conv(build, x, "heads/b", 4)
    out = op(build, "sum", "Add", op(build, "Tanh", "Tanh", first), second)
    build.output("y:0", out)
    source = check(build.graph(), [X], tmp_path)
    assert "def forward(self, x, y):" in source
    assert "return x, y" in source
    assert "a, b = self.heads(y, x)\n        return torch.tanh(a) + b" in source


def test_interleaved_scopes_are_opened(tmp_path):
    """a → b → a → b: neither can be one call unless the other is opened."""
    build = Builder()
    x = build.input("x:0", FLOAT32, IMAGE)
    for step in (1, 2):
        for scope in ("a", "b"):
            x = op(build, f"{scope}/{step}/Relu", "Relu", conv(build, x, f"{scope}/conv{step}", 4))
    build.output("y:0", x)
    source = check(build.graph(), [X], tmp_path)
    assert len(classes(source)) <= 2
    assert "self.a_conv1" in source or "self.b_conv1" in source


def test_steps_between_the_steps_of_a_scope_belong_to_it():
    build = Builder()
    x = build.input("x:0", FLOAT32, IMAGE)
    y = op(build, "activation_7/Relu", "Relu", conv(build, x, "block/conv1", 4))
    y = conv(build, y, "block/conv2", 4)
    z = op(build, "other/Relu", "Relu", conv(build, y, "last", 4))
    source = source_of(build, z)
    assert "x = F.relu(self.conv1(x))\n        return self.conv2(x)" in source


def test_a_layer_at_the_scope_itself_is_named_after_its_kind():
    build = Builder()
    x = build.input("x:0", FLOAT32, IMAGE)
    y = conv(build, x, "conv1", 4)
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    y = op(
        build, "conv1/BatchNorm/f", "BatchNormalization", y, *(weight(build, f"conv1/BatchNorm/{n}", 4) for n in names)
    )
    source = source_of(build, conv(build, op(build, "conv1/Relu", "Relu", y), "conv2", 2))
    assert "self.conv = nn.Conv2d(4, 4, 3, padding=1)" in source
    assert "self.batch_norm = nn.BatchNorm2d(4)" in source
    assert "self.conv1 = Conv1()" in source


def test_free_weights_are_parameters_of_the_class_that_uses_them(tmp_path):
    build = Builder()
    x = build.input("x:0", FLOAT32, IMAGE)
    x = op(build, "block/Mul", "Mul", conv(build, x, "block/conv1", 4), weight(build, "block/scale", 4, 1, 1))
    x = conv(build, x, "block/conv2", 4)
    build.output("y:0", op(build, "Add", "Add", conv(build, x, "end", 4), weight(build, "offset", 4, 1, 1)))
    source = check(build.graph(), [X], tmp_path)
    # the scale's role names it nowhere else: it is the block's own
    assert "self.scale = nn.Parameter(torch.zeros(4, 1, 1))" in source
    assert "self.offset = nn.Parameter(torch.zeros(4, 1, 1))" in source
    assert "self.conv1(x) * self.scale" in source


def test_a_transformer_gets_its_classes_back(tmp_path):
    build = Builder()
    length = Dim.symbol("length")
    ids = build.input("ids:0", INT64, (BATCH, length))
    x = op(build, "bert/embeddings/Gather", "Gather", weight(build, "bert/embeddings/table", 50, 16), ids)

    def dense(x, name, inner, outer):
        y = op(build, f"{name}/MatMul", "MatMul", x, weight(build, f"{name}/kernel", inner, outer))
        return op(build, f"{name}/BiasAdd", "Add", y, weight(build, f"{name}/bias", outer))

    def heads(x, name):
        with build.at(name):
            return build.transpose(build.reshape(x, (BATCH, length, 4, 4)), (0, 2, 1, 3))

    def normalized(x, name):
        scale, bias = weight(build, f"{name}/gamma", 16), weight(build, f"{name}/beta", 16)
        return op(build, f"{name}/norm", "LayerNormalization", x, scale, bias, axis=-1)

    for index in range(2):
        layer = f"bert/encoder/layer_{index}"
        own = f"{layer}/attention/self"
        query, key, value = (heads(dense(x, f"{own}/{name}", 16, 16), own) for name in ("query", "key", "value"))
        with build.at(own):
            scores = build.op("Softmax", build.op("MatMul", query, build.transpose(key, (0, 1, 3, 2))), axis=-1)
            context = build.transpose(build.op("MatMul", scores, value), (0, 2, 1, 3))
            context = build.reshape(context, (BATCH, length, 16))
        y = dense(context, f"{layer}/attention/output/dense", 16, 16)
        x = normalized(op(build, f"{layer}/attention/output/add", "Add", y, x), f"{layer}/attention/output/LayerNorm")
        y = op(build, f"{layer}/mlp/Erf", "Erf", dense(x, f"{layer}/mlp/dense", 16, 32))
        y = dense(y, f"{layer}/output/dense", 32, 16)
        x = normalized(op(build, f"{layer}/output/add", "Add", y, x), f"{layer}/output/LayerNorm")
    build.output("y:0", x)
    source = check(build.graph(), [np.arange(10).reshape(2, 5)], tmp_path, tolerance=1e-4)
    assert classes(source) == ["Self", "Output", "Attention", "Layer", "Encoder", "Net"]
    assert "self.output = Output(16)" in source
    assert "self.output = Output(32)" in source
    assert "return self.layer_norm(self.dense(x) + y)" in source
    assert "nn.Embedding(50, 16)" in source


def test_outputs_may_be_inputs_weights_and_the_same_twice(tmp_path):
    build = Builder()
    x = build.input("x:0", FLOAT32, (BATCH, 2))
    y = build.op("Relu", x)
    for name, value in {"a": x, "b": weight(build, "w", 3), "c": y, "d": y}.items():
        build.output(name, value)
    source = program(build.graph()).source
    assert re.search(r"return x, self\.w\.clone\(\), (\w+), \1", source)
