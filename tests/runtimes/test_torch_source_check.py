"""Code that somebody hides in a file that looks generated."""

import numpy as np
import pytest
from torch import nn

from panmodel.errors import CorruptError, UnsafeError, UnsupportedError
from panmodel.model.tensor import ArrayTensor
from panmodel.model.torch.source import TorchSource
from panmodel.runtimes.torch import build, run
from panmodel.runtimes.torch_source_check import check_source

HEAD = "import math\n\nimport torch\nimport torch.nn.functional as F\nfrom torch import nn\n\n\n"
NET = HEAD + (
    "class Inner(nn.Module):\n"
    "    def __init__(self, n):\n"
    "        super().__init__()\n"
    "        self.fc = nn.Linear(n, 1)\n"
    "\n"
    "\n"
    "class Net(nn.Module):\n"
    "    def __init__(self):\n"
    "        super().__init__()\n"
    "        self.block = Inner(2)\n"
    "        self.w = nn.Parameter(torch.zeros(1))\n"
    "        self.register_buffer('axes', torch.zeros(1))\n"
    "        {init}\n"
    "\n"
    "    def forward(self, x):\n"
    "        {forward}\n"
    "        return self.block(x) @ self.block.fc.weight + self.w\n"
)


def net(forward="x = F.relu(x)", init="self.more = nn.PReLU()"):
    return NET.replace("{forward}", forward).replace("{init}", init)


def test_the_source_around_the_attacks_passes():
    check_source(net())
    check_source(net("x = F.dropout(x, 0.5, self.training)"))
    check_source(HEAD + "def every(x, *rest, value=-1.0):\n    return list(range(len(x)))[::2], torch.argmax, rest\n")


VALUES = [
    "torch", "F", "nn", "math", "self", "super", "int", "self.forward", "self.load_state_dict('x')", "self._modules",
    "self.compile()", "self.apply(F.relu)", "self.register_forward_hook(F.relu)", "self.block.register_forward_hook",
    "self.block.forward", "self.block.fc.data", "self.w.data", "self.block.x", "self.fc", "x.shape.imag",
    "torch.hub.load('a')", "torch.os.system('id')", "F.os", "F.torch", "nn.Module.load", "math.os", "x.numpy()",
    "x.tofile('a')", "x.share_memory_()", "x.register_hook(F.relu)", "().__class__", "'{0.__class__}'.format(x)",
    "f'{x.y}'", "[y for y in x]", "(y := x)", "(lambda: 1)()", "super().forward(x)", "ｓelf.__dict__",
    "self.register_buffer('b', x)",
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_values_that_lead_out_of_the_model(value):
    with pytest.raises(UnsafeError):
        check_source(net(f"x = {value}"))


STATEMENTS = [
    "torch.relu = x", "nn.Conv2d = x", "F.relu += x", "self = torch", "self, x = torch, x", "for self in x: x = 1",
    "for torch.relu in x: x = 1", "self.w = x", "self.block.fc = x", "x.data = x", "x.dtype = x", "del x", "import os",
    "global x", "while x: x = 1", "x: torch.os.system('id') = 1", "def f(): pass", "int = x", "Inner = x",
]  # fmt: skip


@pytest.mark.parametrize("statement", STATEMENTS)
def test_statements_that_change_more_than_local_variables(statement):
    with pytest.raises(UnsafeError):
        check_source(net(statement))


@pytest.mark.parametrize("name", ["forward", "_modules", "state_dict", "training", "__class__", "block"])
def test_attributes_of_a_module_keep_their_meaning(name):
    with pytest.raises(UnsafeError):
        check_source(net(init=f"self.{name} = nn.PReLU()"))
    with pytest.raises(UnsafeError):
        check_source(net(init=f"self.register_buffer({name!r}, torch.zeros(1))"))


FUNCTIONS = [
    "def f(self):\n    return self.os\n",
    "def f(x, *self):\n    return self.os\n",
    "def f(self=1):\n    return self.load\n",
    "def f(x: torch.os.system('id')):\n    return x\n",
    "def f(x) -> torch.os.system('id'):\n    return x\n",
    "def f(x, *, y=torch.zeros(1)):\n    return x\n",
    "def self(x):\n    return x\n",
    "def f(x):\n    return x\n\n\ndef f(x):\n    return x\n",
    "class A(nn.Module):\n    def forward(this, self):\n        return self.numpy()\n",
    "class A(nn.Module):\n    def forward():\n        return 1\n",
    "class __build_class__(nn.Module):\n    pass\n",
    "class A(nn.Module, metaclass=F.relu):\n    pass\n",
    "x = '\udcff'",
    "x = " + "-" * 100_000 + "1",
    "def f(x):\n    return x" + ".abs()" * 5000 + "\n",
]


@pytest.mark.parametrize("text", FUNCTIONS, ids=range(len(FUNCTIONS)))
def test_definitions_that_run_or_hide_something(text):
    with pytest.raises(UnsafeError):
        check_source(HEAD + text)


BROKEN = {
    "a class that makes itself": ("self.more = Net()", "x = x + 1"),
    "a name that is bound too late": ("self.more = nn.Linear(later, later)\n        later = 1", "x = x + 1"),
    "a division by zero": ("self.more = 1 // 0", "x = x + 1"),
    "an endless recursion": ("self.more = 1", "x = self.block(x, x)"),
    "a missing attribute": ("self.more = 1", "x = x.shape.dtype"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_whatever_edited_source_raises_is_reported(what):
    init, forward = BROKEN[what]
    state = {"w": (1,), "axes": (1,), "block.fc.weight": (1, 2), "block.fc.bias": (1,)}
    tensors = {name: ArrayTensor(np.zeros(shape, np.float32)) for name, shape in state.items()}
    with pytest.raises((CorruptError, UnsupportedError)):
        run(build(TorchSource(net(forward, init), "Net", tensors, {})), [np.zeros((1, 2), np.float32)])


def test_names_that_are_not_the_modules_are_reported():
    with pytest.raises(UnsupportedError):
        run(nn.Linear(1, 1), [np.zeros((1, 1), np.float32)], {"values": {"no.such": {"tensor": "x"}}})
