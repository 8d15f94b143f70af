import ast

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from panmodel.exporters.torch.functions import DEFINITIONS
from panmodel.runtimes.torch import check_source


@pytest.fixture(scope="module")
def space():
    found = {"torch": torch, "F": F, "math": __import__("math")}
    for text in DEFINITIONS.values():
        exec(text, found)
    return found


@pytest.mark.parametrize("name", DEFINITIONS)
def test_each_is_one_documented_function_that_passes_the_check(name):
    made = ast.parse(DEFINITIONS[name]).body
    assert [node.name for node in made] == [name]
    assert ast.get_docstring(made[0])
    assert all(len(line) <= 120 for line in DEFINITIONS[name].splitlines())
    needed = DEFINITIONS["sample_positions"] if name.startswith("resize") else ""
    module = "class Net(nn.Module):\n    def forward(self, x):\n        return x\n"
    check_source(f"import torch\nfrom torch import nn\n{needed}{DEFINITIONS[name]}\n{module}")


@pytest.mark.parametrize(("start", "stop", "step"), [(4, None, -2), (-2, -100, -1), (0, 3, 2), (100, 0, -3)])
def test_every_is_a_slice(space, start, stop, step):
    x = np.arange(10).reshape(2, 5)
    assert (space["every"](torch.tensor(x), 1, start, stop, step).numpy() == x[:, start:stop:step]).all()


@pytest.mark.parametrize("size", [0, 1, 4])
def test_sums_before(space, size):
    x = torch.arange(1, 2 * size + 1, dtype=torch.int32).reshape(2, size)
    found = space["sums_before"](x, -1)
    assert found.dtype == torch.int32
    assert (found == x.cumsum(1) - x).all()


def test_equal_elements_stay_in_order(space):
    values, indices = space["top_k"](torch.tensor([1, 3, 3, 1, 3]), 4, 0)
    assert values.tolist() == [3, 3, 3, 1]
    assert indices.tolist() == [1, 2, 4, 0]
    assert space["arg_last"](torch.tensor([1, 3, 3, 0]), 0, False, torch.argmax) == 2


@pytest.mark.parametrize(("mode", "numpy_mode"), [("reflect", "reflect"), ("edge", "edge"), ("wrap", "wrap")])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_padding_by_index(space, mode, numpy_mode, size):
    x = np.arange(size)
    found = space["pad_by_index"](torch.tensor(x), 0, 2, 3, mode)
    assert found.tolist() == np.pad(x, (2, 3), numpy_mode).tolist()
