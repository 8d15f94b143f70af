import ml_dtypes
import numpy as np
import pytest
import torch

from panmodel.errors import CorruptError, UnsafeError, UnsupportedError
from panmodel.model.tensor import ArrayTensor
from panmodel.model.torch.source import TorchSource
from panmodel.runtimes import torch as runtime

SOURCE = '''# Written by panmodel
"""A model."""

import torch
from torch import nn


def twice(x):
    return x * 2


class Net(nn.Module):
    """It."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 1, bias=False)

    def forward(self, x):
        return twice(self.fc(x)), torch.relu(x)
'''


def source(text=SOURCE, **state):
    state = state or {"fc.weight": np.array([[1.0, 2.0]], np.float32)}
    tensors = {name.replace("__", "."): ArrayTensor(array) for name, array in state.items()}
    names = {"values": {"fc": {"tensor": "fc:0", "layout": None}}}
    return TorchSource(text, "Net", tensors, names)


def test_builds_and_runs():
    module = runtime.build(source())
    assert not module.training
    outputs, inside = runtime.run(module, [np.array([[3.0, -4.0]], np.float32)], source().names)
    np.testing.assert_array_equal(outputs[0], [[-10.0]])
    np.testing.assert_array_equal(outputs[1], [[3.0, 0.0]])
    np.testing.assert_array_equal(inside["fc:0"], [[-5.0]])
    assert not module.fc._forward_hooks


def test_the_state_must_fit():
    with pytest.raises(CorruptError, match="does not fit"):
        runtime.build(source(fc__weight=np.zeros((3, 3), np.float32)))
    with pytest.raises(CorruptError, match="does not fit"):
        runtime.build(source(other=np.zeros(1, np.float32)))


def test_inputs_that_do_not_fit_are_reported():
    with pytest.raises(UnsupportedError, match="cannot run"):
        runtime.run(runtime.build(source()), [np.zeros((2, 7), np.float32)])


FORBIDDEN = {
    "import os": "import os",
    "an import that is renamed": "import torch as nn",
    "code outside": "torch.manual_seed(0)",
    "an assignment outside": "x = 1",
    "a decorator": "@torch.no_grad\ndef f(x):\n    return x",
    "a base class": "class A(torch.Tensor):\n    pass",
    "a metaclass": "class A(nn.Module, metaclass=type):\n    pass",
    "code in a class": "class A(nn.Module):\n    x = torch.load('a')",
    "another method": "class A(nn.Module):\n    def __reduce__(self):\n        return 1",
    "eval": "def f(x):\n    return eval('1')",
    "a dunder": "def f(x):\n    return x.__class__",
    "a dunder name": "def f(x):\n    return __import__('os')",
    "a dunder below self": "class A(nn.Module):\n    def forward(self, x):\n        return self.__class__",
    "torch.load": "def f(x):\n    return torch.load(x)",
    "torch.ops": "def f(x):\n    return torch.ops.load_library('x')",
    "torch.hub": "def f(x):\n    return torch.hub.load('a', 'b')",
    "a module of torch": "def f(x):\n    return torch.utils.cpp_extension.load('a')",
    "nn.modules": "def f(x):\n    return nn.modules.module.torch.load('a')",
    "getattr": "def f(x):\n    return getattr(x, 'a')",
    "a lambda": "def f(x):\n    return (lambda y: y)(x)",
    "a comprehension": "def f(x):\n    return [y for y in x]",
    "a formatted string": "def f(x):\n    return f'{x}'",
    "numpy of a tensor": "def f(x):\n    return x.numpy()",
    "a file from a tensor": "def f(x):\n    return torch.zeros(1).share_memory_()",
    "another meaning of torch": "def torch(x):\n    return x",
    "a local called F": "def f(F):\n    return F.relu",
    "global": "def f(x):\n    global y",
    "with": "def f(x):\n    with x:\n        pass",
    "try": "def f(x):\n    try:\n        pass\n    except ValueError:\n        pass",
    "a default that calls": "def f(x=torch.zeros(1)):\n    return x",
    "await": "async def f(x):\n    await x",
    "a walrus": "def f(x):\n    return (y := x)",
    "an attribute of a module outside": "def f(x):\n    F.relu.a = x",
    "self's loader": "class A(nn.Module):\n    def __init__(self):\n        self.load_state_dict(torch.load('x'))",
    "no Python": "def f(",
    "a null byte": "x\0",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_refuses_everything_else(what):
    header = "import torch\nimport torch.nn.functional as F\nfrom torch import nn\n"
    with pytest.raises(UnsafeError):
        runtime.check_source(header + FORBIDDEN[what] + "\n")
    with pytest.raises(UnsafeError):
        runtime.build(source(header + FORBIDDEN[what] + "\n"))


def test_an_error_names_the_line():
    with pytest.raises(UnsafeError, match="line 2"):
        runtime.check_source("import torch\nimport os\n")


@pytest.mark.parametrize(
    "dtype",
    [
        *("float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("bool", "complex64", ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2),
    ],
)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_arrays_become_tensors_and_back(dtype, shape):
    array = (np.arange(6)[: int(np.prod(shape))].reshape(shape) % 2).astype(dtype)
    tensor = runtime.to_torch(array)
    assert tuple(tensor.shape) == shape
    assert str(tensor.dtype).removeprefix("torch.") == array.dtype.name
    back = runtime.to_numpy(tensor)
    assert back.dtype == array.dtype
    assert back.shape == shape
    np.testing.assert_array_equal(back.astype(np.complex64), array.astype(np.complex64))


def test_the_callers_array_is_not_written_to():
    array = np.ones(2, np.float32)
    runtime.to_torch(array).mul_(5)
    assert array.tolist() == [1, 1]


def test_label():
    assert runtime.label() == f"PyTorch {torch.__version__}"
