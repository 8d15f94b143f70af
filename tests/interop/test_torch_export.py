"""The modules train, export and compile."""

import numpy as np
import pytest
import torch
from tests.exporters.torch.judge import BATCH, conv, op, program, weight

from panmodel.dtypes import FLOAT32
from panmodel.model.builder import Builder
from panmodel.model.symbolic import Dim
from panmodel.model.tensor import ArrayTensor
from panmodel.runtimes import torch as runtime


def network():
    """Convolutions with batch norm, a residual block, pools with TensorFlow's padding, PReLU, resize, a classifier."""
    build = Builder()
    x = build.input("x:0", FLOAT32, (BATCH, 3, 16, 16))
    x = conv(build, x, "stem/conv", 8)
    numbers = {"gamma": 1.0, "beta": 0.0, "moving_mean": 0.1, "moving_variance": 0.9}
    statistics = [
        build.weight(ArrayTensor(np.full(8, n, np.float32), f"stem/bn/{name}")) for name, n in numbers.items()
    ]
    x = op(build, "stem/bn/f", "BatchNormalization", x, *statistics, epsilon=1e-3)
    x = op(build, "stem/relu", "Relu", x)
    x = op(build, "pool", "MaxPool", x, kernel_shape=(3, 3), strides=(2, 2), auto_pad="SAME_UPPER")
    for name in ("block1", "block2"):
        y = op(build, f"{name}/a/Relu", "Relu", conv(build, x, f"{name}/a", 8))
        x = op(build, f"{name}/add", "Add", conv(build, y, f"{name}/b", 8), x)
    x = op(build, "PRelu", "PRelu", x, build.reshape(weight(build, "alpha1", 8), (8, 1, 1)))
    scales = build.constant(np.array([1, 1, 2, 2], np.float32))
    x = op(build, "up", "Resize", x, None, scales, mode="linear", coordinate_transformation_mode="asymmetric")
    x = op(build, "mean", "ReduceMean", x, build.constant([2, 3]), keepdims=0)
    x = op(build, "fc/MatMul", "MatMul", x, weight(build, "fc/weights", 8, 5))
    x = op(build, "fc/BiasAdd", "Add", x, weight(build, "fc/biases", 5))
    build.output("y:0", op(build, "scale", "Mul", x, weight(build, "temperature", 1)))
    return build.graph()


def unsized():
    """Every size but the channels is known at run time only."""
    build = Builder()
    x = build.input("x:0", FLOAT32, (BATCH, 3, Dim.symbol("h"), Dim.symbol("w")))
    x = conv(build, x, "a", 4)
    kernel = build.transpose(weight(build, "b/kernel", 3, 3, 4, 4), (3, 2, 0, 1))
    x = build.op("Conv", x, kernel, strides=(2, 2), auto_pad="SAME_UPPER")
    flat = build.reshape(x, (BATCH, 4, x.shape[2] * x.shape[3]))
    build.output("y:0", build.op("Softmax", flat, axis=-1))
    return build.graph()


@pytest.fixture(scope="module")
def module():
    return runtime.build(program(network()))


def test_gradients_flow_to_every_parameter_and_a_step_helps():
    torch.manual_seed(0)
    module = runtime.build(program(network())).train()
    x, labels = torch.randn(16, 3, 16, 16), torch.randint(0, 5, (16,))
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(x), labels)
        loss.backward()
        missing = [name for name, parameter in module.named_parameters() if parameter.grad is None]
        assert missing == []
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] * 0.9


def test_every_variable_with_numbers_to_learn_is_a_parameter(module):
    names = program(network()).names["parameters"]
    statistics = {name for name in names if name.endswith(("running_mean", "running_var"))}
    assert {name for name, _ in module.named_parameters()} == set(names) - statistics


def test_exports_with_a_dynamic_batch(module):
    x = torch.randn(4, 3, 16, 16)
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(module, (x,), dynamic_shapes=({0: batch},))
    other = torch.randn(7, 3, 16, 16)
    torch.testing.assert_close(exported.module()(other), module(other))


def test_exports_with_dynamic_sizes():
    module = runtime.build(program(unsized()))
    dims = {0: torch.export.Dim("b", min=2, max=64), 2: torch.export.Dim("h", min=4), 3: torch.export.Dim("w", min=4)}
    exported = torch.export.export(module, (torch.randn(2, 3, 12, 10),), dynamic_shapes=(dims,))
    other = torch.randn(3, 3, 9, 17)
    torch.testing.assert_close(exported.module()(other), module(other))


def test_compiles(module):
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    for batch in (2, 5):
        x = torch.randn(batch, 3, 16, 16)
        torch.testing.assert_close(compiled(x), module(x))


def test_the_files_load_as_the_docstring_says(tmp_path):
    """Written to disk, imported by Python and loaded with safetensors, as a user does it."""
    import importlib.util

    import safetensors.torch

    from panmodel.formats import by_name
    from panmodel.io.sink import Sink
    from panmodel.model.model import Model

    made = program(network())
    with Sink(tmp_path / "net.py") as sink:
        by_name("torch_source").write(Model("torch_source", made, dict(made.state)), sink)
    spec = importlib.util.spec_from_file_location("net", tmp_path / "net.py")
    net = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(net)
    model = net.Net()
    model.load_state_dict(safetensors.torch.load_file(tmp_path / "net.safetensors"))
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(model.eval()(x), runtime.build(made)(x))
