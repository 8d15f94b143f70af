"""What the source of each operator looks like, and that it computes what onnxruntime does."""

import numpy as np
import pytest
from tests.exporters.torch.judge import BATCH, check, conv, created, forward, op, weight

from panmodel.dtypes import FLOAT32, FLOAT64, INT64
from panmodel.model.builder import Builder
from panmodel.model.symbolic import Dim
from panmodel.model.tensor import ArrayTensor

IMAGE = (BATCH, 4, 8, 8)


def built(shape, apply, dtype=FLOAT32):
    build = Builder()
    build.output("y:0", apply(build, build.input("x:0", dtype, shape)))
    return build.graph()


def ints(build, *numbers):
    return build.constant(list(numbers), INT64)


def prelu(build, x):
    return build.op("PRelu", x, build.reshape(weight(build, "alpha1", 4), (4, 1, 1)))


def linear(build, x):
    product = op(build, "fc/MatMul", "MatMul", x, weight(build, "fc/weights", 8, 3))
    return op(build, "fc/BiasAdd", "Add", product, weight(build, "fc/biases", 3))


def gemm(build, x):
    return build.op("Gemm", x, weight(build, "fc/weights", 6, 3), weight(build, "fc/biases", 3))


def batch_norm(build, x):
    names = ("gamma", "beta", "moving_mean")
    variance = build.weight(ArrayTensor(np.full(4, 0.7, np.float32), "bn/moving_variance"))
    return build.op(
        "BatchNormalization", x, *(weight(build, f"bn/{name}", 4) for name in names), variance, epsilon=1e-3
    )


def strided_same(build, x):
    kernel = build.transpose(weight(build, "conv/kernel", 3, 3, 4, 2), (3, 2, 0, 1))
    return build.op("Conv", x, kernel, strides=(2, 2), auto_pad="SAME_UPPER")


def resize(mode, **attributes):
    def apply(build, x):
        scales = build.constant(np.array([1, 1, 2, 2], np.float32))
        return build.op("Resize", x, None, scales, mode=mode, **attributes)

    return apply


def reduced(kind, *axes, **attributes):
    return lambda build, x: build.op(kind, x, ints(build, *axes), **attributes)


# operand's shape, what is built, lines of __init__, lines of forward
CASES = {
    "convolution with bias": (
        IMAGE,
        lambda b, x: conv(b, x, "conv1", 6),
        ["self.conv1 = nn.Conv2d(4, 6, 3, padding=1)"],
        ["return self.conv1(x)"],
    ),
    "strides and groups": (
        IMAGE,
        lambda b, x: b.op(
            "Conv", x, b.transpose(weight(b, "dw/depthwise_weights", 3, 3, 1, 4), (3, 2, 0, 1)), group=4, strides=(2, 2)
        ),
        ["self.dw = nn.Conv2d(4, 4, 3, stride=2, groups=4, bias=False)"],
        ["return self.dw(x)"],
    ),
    "asymmetric padding": (
        IMAGE,
        strided_same,
        ["self.conv = nn.Conv2d(4, 2, 3, stride=2, bias=False)"],
        ["return self.conv(F.pad(x, (0, 1, 0, 1)))"],
    ),
    "SAME over sizes of the run": (
        (BATCH, 4, Dim.symbol("h"), Dim.symbol("w")),
        strided_same,
        ["self.conv = nn.Conv2d(4, 2, 3, stride=2, bias=False)"],
        ["return self.conv(pad_same(x, (3, 3), (2, 2), (1, 1)))"],
    ),
    "linear of a product and a sum": (
        (BATCH, 5, 8),
        linear,
        ["self.fc = nn.Linear(8, 3)"],
        ["return self.fc(x)"],
    ),
    "linear of a Gemm": ((BATCH, 6), gemm, ["self.fc = nn.Linear(6, 3)"], ["return self.fc(x)"]),
    "linear without bias": (
        (BATCH, 8),
        lambda b, x: b.op("MatMul", x, weight(b, "proj/w", 8, 2)),
        ["self.proj = nn.Linear(8, 2, bias=False)"],
        ["return self.proj(x)"],
    ),
    "batch norm": (IMAGE, batch_norm, ["self.bn = nn.BatchNorm2d(4, eps=0.001)"], ["return self.bn(x)"]),
    "PReLU per channel": (IMAGE, prelu, ["self.prelu1 = nn.PReLU(4)"], ["return self.prelu1(x)"]),
    "ReLU6": (
        IMAGE,
        lambda b, x: b.op("Clip", x, b.constant(0.0), b.constant(6.0)),
        [],
        ["return F.relu6(x)"],
    ),
    "numbers stand in expressions": (
        IMAGE,
        lambda b, x: b.op("Sub", b.op("Mul", x, b.constant(0.1)), b.constant([1.5])),
        [],
        ["return x * 0.1 - 1.5"],
    ),
    "flatten": ((BATCH, 4, 2, 3), lambda b, x: b.reshape(x, (BATCH, 24)), [], ["return x.flatten(1)"]),
    "reshape keeps the batch": (
        (BATCH, 24),
        lambda b, x: b.reshape(x, (BATCH, 4, 2, 3)),
        [],
        ["return x.reshape(-1, 4, 2, 3)"],
    ),
    "global mean": (IMAGE, reduced("ReduceMean", 2, 3, keepdims=0), [], ["return x.mean(dim=(2, 3))"]),
    "maximum over all": (IMAGE, lambda b, x: b.op("ReduceMax", x, keepdims=0), [], ["return x.amax()"]),
    "slice": (IMAGE, lambda b, x: b.slice(x, [1, 0], [4, -1], [1, 3]), [], ["return x[:, 1:, :, :-1]"]),
    "reversed": (IMAGE, lambda b, x: b.slice(x, [-1], [-(1 << 40)], [3], [-1]), [], ["return x.flip(3)"]),
    "every second from the end": (
        IMAGE,
        lambda b, x: b.slice(x, [-2], [-8], [3], [-2]),
        [],
        ["return every(x, 3, -2, -8, -2)"],
    ),
    "pad": (
        IMAGE,
        lambda b, x: b.op("Pad", x, ints(b, 0, 0, 1, 2, 0, 0, 3, 4)),
        [],
        ["return F.pad(x, (2, 4, 1, 3))"],
    ),
    "mirrored pad": (
        IMAGE,
        lambda b, x: b.op("Pad", x, ints(b, 0, 0, 1, 1, 0, 0, 1, 1), mode="reflect"),
        [],
        ['return F.pad(x, (1, 1, 1, 1), mode="reflect")'],
    ),
    "nearest twice": (
        IMAGE,
        resize("nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        [],
        ["return F.interpolate(x, scale_factor=2)"],
    ),
    "bilinear twice": (IMAGE, resize("linear"), [], ['return F.interpolate(x, scale_factor=2, mode="bilinear")']),
    "bilinear to the corners": (
        IMAGE,
        resize("linear", coordinate_transformation_mode="align_corners"),
        [],
        ['return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)'],
    ),
    "bilinear as TensorFlow 1 did": (
        (1, 2, 3, 3),
        resize("linear", coordinate_transformation_mode="asymmetric"),
        [],
        ['return resize_linear(resize_linear(x, 2, 6, "asymmetric"), 3, 6, "asymmetric")'],
    ),
    "pixel shuffle": (
        IMAGE,
        lambda b, x: b.op("DepthToSpace", x, blocksize=2),
        [],
        ["return F.pixel_shuffle(x, 2)"],
    ),
    "max pool": (
        IMAGE,
        lambda b, x: b.op("MaxPool", x, kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1)),
        [],
        ["return F.max_pool2d(x, 3, stride=2, padding=1)"],
    ),
    "max pool with one-sided padding": (
        IMAGE,
        lambda b, x: b.op("MaxPool", x, kernel_shape=(3, 3), strides=(2, 2), auto_pad="SAME_UPPER"),
        [],
        ["return F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, stride=2)"],
    ),
    "average pool that counts no padding": (
        IMAGE,
        lambda b, x: b.op("AveragePool", x, kernel_shape=(3, 3), strides=(2, 2), auto_pad="SAME_UPPER"),
        [],
        ["return average_pool(x, F.avg_pool2d, (0, 1, 0, 1), (3, 3), (2, 2))"],
    ),
    "squares": (IMAGE, lambda b, x: b.op("Pow", x, b.constant(2.0)), [], ["return x.square()"]),
    "inverse square root": (
        IMAGE,
        lambda b, x: b.op("Reciprocal", b.op("Sqrt", b.op("Abs", x))),
        [],
        ["return torch.rsqrt(torch.abs(x))"],
    ),
    "softmax": ((BATCH, 5), lambda b, x: b.op("Softmax", x, axis=-1), [], ["return F.softmax(x, dim=-1)"]),
    "split": (
        IMAGE,
        lambda b, x: b.op("Add", *b.ops("Split", x, ints(b, 2, 2), outputs=2, axis=1)),
        [],
        ["x, y = torch.split(x, 2, dim=1)", "return x + y"],
    ),
    "a bound instead of a maximum": (
        IMAGE,
        lambda b, x: b.op("Max", x, b.constant(0.5)),
        [],
        ["return x.clamp(min=0.5)"],
    ),
    "transposed convolution": (
        IMAGE,
        lambda b, x: b.op(
            "ConvTranspose", x, b.transpose(weight(b, "up/kernel", 4, 4, 2, 4), (3, 2, 0, 1)), strides=(2, 2),
            auto_pad="SAME_UPPER",
        ),
        ["self.up = nn.ConvTranspose2d(4, 2, 4, stride=2, padding=1, bias=False)"],
        ["return self.up(x)"],
    ),
    "transposed convolution, padded on one side": (
        IMAGE,
        lambda b, x: b.op(
            "ConvTranspose", x, b.transpose(weight(b, "up/kernel", 3, 3, 2, 4), (3, 2, 0, 1)), strides=(2, 2),
            auto_pad="SAME_UPPER",
        ),
        ["self.up = nn.ConvTranspose2d(4, 2, 3, stride=2, bias=False)"],
        ["return self.up(x)[:, :, :-1, :-1]"],
    ),
    "sizes of the run": (
        (BATCH, 6),
        lambda b, x: b.op("Expand", b.constant([[1.0]]), b.op("Shape", x)),
        [],
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_reads_as_written_by_hand_and_computes_the_same(name, tmp_path):
    shape, apply, init, body = CASES[name]
    graph = built(shape, apply)
    assert created(graph) == init or body is None
    assert body is None or forward(graph) == body
    sizes = [size if isinstance(size, int) else {"batch": 2}.get(str(size), 7) for size in shape]
    x = np.random.default_rng(0).normal(size=sizes).astype(np.float32)
    check(graph, [x], tmp_path)


def test_an_embedding_is_one(tmp_path):
    graph = built((BATCH, 5), lambda b, x: b.op("Gather", weight(b, "embedding/table", 10, 3), x), INT64)
    assert created(graph) == ["self.embedding = nn.Embedding(10, 3)"]
    check(graph, [np.array([[1, 2, 9, 0, 3]])], tmp_path)


def test_shared_weights_are_one_layer():
    build = Builder()
    x, y = build.input("x:0", FLOAT32, IMAGE), build.input("y:0", FLOAT32, IMAGE)
    kernel = build.transpose(weight(build, "conv/kernel", 3, 3, 4, 2), (3, 2, 0, 1))
    build.output("z:0", build.op("Sub", build.op("Conv", x, kernel), build.op("Conv", y, kernel)))
    graph = build.graph()
    assert created(graph) == ["self.conv = nn.Conv2d(4, 2, 3, bias=False)"]
    assert forward(graph)[-1] == "return x - self.conv(y)"


def test_float64_layers_say_so(tmp_path):
    build = Builder()
    x = build.input("x:0", FLOAT64, (BATCH, 4))
    build.output("y:0", build.op("MatMul", x, weight(build, "fc/kernel", 4, 2, dtype=np.float64)))
    source = check(build.graph(), [np.ones((3, 4))], tmp_path, tolerance=1e-12)
    assert "nn.Linear(4, 2, bias=False, dtype=torch.float64)" in source


def test_sizes_are_read_off_tensors_that_are_there():
    build = Builder()
    x = build.input("x:0", FLOAT32, (BATCH, 4))
    steps = build.op(
        "Range", *(build.constant(0, INT64),), build.squeeze(build.size(x, 0), [0]), build.constant(1, INT64)
    )
    build.output("y:0", steps)
    assert forward(build.graph()) == ["return torch.arange(x.shape[0], device=x.device)"]
