import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.exporters.torch.execution import graph_of, numbers

from panmodel.exporters.torch.emitter import Emitter
from panmodel.exporters.torch.functions import DEFINITIONS
from panmodel.exporters.torch.windows import Window, pair, window


def window_of(shape=(1, 1, 7, 8), known="static", **attributes):
    graph = graph_of(lambda b, x: b.op("MaxPool", x, kernel_shape=(3, 2), **attributes), numbers(*shape), known=known)
    emit = Emitter(graph)
    return window(graph.nodes[0], emit, (3, 2)), emit


@pytest.mark.parametrize(
    ("attributes", "before", "after"),
    [
        ({}, (0, 0), (0, 0)),
        ({"pads": (1, 0, 2, 1)}, (1, 0), (2, 1)),
        ({"auto_pad": "VALID"}, (0, 0), (0, 0)),
        ({"auto_pad": "SAME_UPPER"}, (1, 0), (1, 1)),
        ({"auto_pad": "SAME_LOWER"}, (1, 1), (1, 0)),
        ({"auto_pad": "SAME_UPPER", "strides": (2, 3)}, (1, 0), (1, 0)),
    ],
)
def test_padding_on_both_ends(attributes, before, after):
    found, _ = window_of(**attributes)
    assert (found.before, found.after, found.dynamic) == (before, after, "")
    assert found.is_symmetric == (before == after)


@pytest.mark.parametrize(("auto_pad", "dynamic"), [("SAME_UPPER", "upper"), ("SAME_LOWER", "lower")])
def test_padding_that_sizes_of_the_run_decide(auto_pad, dynamic):
    found, emit = window_of(known="symbolic", auto_pad=auto_pad, strides=(2, 2))
    assert found.dynamic == dynamic
    assert not found.is_symmetric
    text = found.padded("x", emit, "-torch.inf")
    assert text.startswith("pad_same(x, (3, 2), (2, 2), (1, 1), value=-torch.inf")
    assert ("extra_first=True" in text) == (dynamic == "lower")
    assert list(emit.emitted.functions) == ["pad_same"]
    # a stride of 1 pads the same whatever the size
    assert window_of(known="symbolic", auto_pad=auto_pad)[0].dynamic == ""


def test_padding_is_written_from_the_last_axis():
    emit = window_of()[1]
    assert Window((3, 2), (1, 1), (1, 1), (1, 0), (2, 3)).padded("x", emit) == "F.pad(x, (0, 3, 1, 2))"
    assert Window((3, 2), (1, 1), (1, 1), (0, 0), (0, 0)).padded("x", emit) == "x"


def test_numbers_that_are_alike_are_one():
    assert pair((2, 2)) == "2"
    assert pair((2, 2), whole=True) == "(2, 2)"
    assert pair(np.array([2, 3])) == "(2, 3)"


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_padding_of_the_run_is_that_of_known_sizes(size, stride, dilation):
    space = {"torch": torch, "F": F}
    exec(DEFINITIONS["pad_same"], space)
    attributes = {"auto_pad": "SAME_UPPER", "strides": (stride, 1), "dilations": (dilation, 1)}
    known, _ = window_of((1, 1, size, 4), **attributes)
    padded = space["pad_same"](torch.ones(1, 1, size, 4), (3, 2), (stride, 1), (dilation, 1))
    assert padded.shape[2] == size + known.before[0] + known.after[0]
    ones = padded[0, 0, :, 0].nonzero()
    assert int(ones[0]) == known.before[0]
