"""Data formats, numbers per axis and padding of TensorFlow's operators on images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.importers.tensorflow import reference
from tests.passes.running import run
from tests.tensorflow_graphs import graph, node

from panmodel.dtypes import FLOAT32
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.importers.tensorflow.registry import Operation
from panmodel.importers.tensorflow.spatial import (
    Layout,
    layout,
    pad_same,
    padding,
    per_spatial_axis,
    ranked,
    same_padding,
    spatial_sizes,
)
from panmodel.model.builder import Builder
from panmodel.model.symbolic import Dim

NHWC, NCHW = Layout(4, True), Layout(4, False)
H = Dim.symbol("h")


def operation(*inputs, **attributes):
    source = graph(node("y", "Odd", **attributes))
    return Operation(source.nodes["y"], inputs, source)


@pytest.mark.parametrize(
    ("data_format", "rank", "channels", "spatial"),
    [
        ("NHWC", 4, 3, [1, 2]),
        ("NCHW", 4, 1, [2, 3]),
        ("NDHWC", 5, 4, [1, 2, 3]),
        ("NCDHW", 5, 1, [2, 3, 4]),
    ],
)
def test_layouts(data_format, rank, channels, spatial):
    found = layout(operation(data_format=data_format))
    assert (found.rank, found.channels_axis, list(found.spatial_axes)) == (rank, channels, spatial)


def test_channels_are_last_if_nothing_is_said():
    assert layout(operation()) == NHWC


def test_vectors_of_channels_are_unsupported():
    with pytest.raises(UnsupportedError, match="NCHW_VECT_C"):
        layout(operation(data_format="NCHW_VECT_C"))


@pytest.mark.parametrize("rank", [4, 5])
def test_entering_and_leaving_a_layout(rank):
    build = Builder()
    sizes = (2, 3, 4, 5, 6)[:rank]
    last = build.input("x", FLOAT32, sizes)
    inside = Layout(rank, True).enter(build, last)
    assert inside.shape == (sizes[0], sizes[-1], *sizes[1:-1])
    assert Layout(rank, True).leave(build, inside).shape == sizes
    assert Layout(rank, False).enter(build, last) is last and Layout(rank, False).leave(build, last) is last


def test_ranks_are_checked_where_they_are_known():
    build = Builder()
    x, unknown = build.input("x", FLOAT32, (2, 3)), build.input("u", FLOAT32, None)
    assert ranked(operation(x, unknown), 1, 4) is unknown
    assert ranked(operation(x), 0, 2) is x
    with pytest.raises(CorruptError, match="operand 0 of Odd has 2 axes, expected 4"):
        ranked(operation(x), 0, 4)


def test_numbers_of_the_spatial_axes():
    assert per_spatial_axis(operation(strides=[1, 2, 3, 1]), "strides", NHWC) == (2, 3)
    assert per_spatial_axis(operation(strides=[1, 1, 2, 3]), "strides", NCHW) == (2, 3)
    assert per_spatial_axis(operation(), "dilations", Layout(5, True)) == (1, 1, 1)


@pytest.mark.parametrize("strides", [[2, 1, 1, 1], [1, 1, 1, 2]])
def test_steps_over_batch_or_channels_are_unsupported(strides):
    with pytest.raises(UnsupportedError, match="batch or the channels"):
        per_spatial_axis(operation(strides=strides), "strides", NHWC)


@pytest.mark.parametrize("strides", [[1, 2], [1, 0, 1, 1], [1, -1, 1, 1], 3, "SAME", [1.0, 1.0, 1.0, 1.0], [True] * 4])
def test_what_are_no_numbers_per_axis(strides):
    with pytest.raises(CorruptError, match=r"strides is .* expected 4 positive integers"):
        per_spatial_axis(operation(strides=strides), "strides", NHWC)


def test_sizes_inside():
    build = Builder()
    assert spatial_sizes(build.input("x", FLOAT32, (2, 3, H, 5)), 2) == (H, 5)
    assert spatial_sizes(build.input("u", FLOAT32, None), 2) == (None, None)


@given(st.integers(1, 50), st.integers(1, 9), st.integers(1, 9))
def test_same_padding_is_tensorflow_s(size, extent, stride):
    before, after = same_padding(size, extent, stride)
    assert (before, after) == reference.same_padding(size, extent, stride)
    if extent >= stride or size % stride == 0:  # windows that miss nothing: as many as strides fit into the size
        assert (before + size + after - extent) // stride + 1 == -(-size // stride)
    assert 0 <= after - before <= 1


@given(st.integers(1, 20), st.integers(1, 9), st.integers(1, 9))
def test_what_is_said_of_a_symbolic_size_holds_for_every_size(factor, extent, stride):
    for symbolic, size in ((H, factor), (H * stride, factor * stride)):
        found = same_padding(symbolic, extent, stride)
        if found is not None:
            assert found == same_padding(size, extent, stride)
    assert same_padding(H * stride, extent, stride) is not None
    assert (same_padding(None, extent, stride) is None) == (stride > 1 and extent > 1)


def pads(kind, sizes, extents=(3, 3), strides=(2, 2), shape=NHWC, **attributes):
    x = Builder().input("x", FLOAT32, (1, 1, *sizes))
    return dict(padding(operation(padding=kind, **attributes), shape, x, extents, strides))


def test_the_kinds_of_padding():
    assert pads("VALID", (5, 6)) == {}
    assert pads("SAME", (5, 6)) == {"pads": (1, 0, 1, 1)}
    assert pads("SAME", (5, 6), strides=(1, 1)) == {"pads": (1, 1, 1, 1)}
    assert pads("SAME", (4, 4), extents=(1, 1), strides=(1, 1)) == {}
    assert pads("SAME", (H, 6)) == pads("SAME", (5, 6), extents=(None, 3)) == {"auto_pad": "SAME_UPPER"}
    assert pads("SAME", (H * 2, 6)) == {"pads": (0, 0, 1, 1)}
    explicit = [0, 0, 1, 2, 3, 4, 0, 0]
    assert pads("EXPLICIT", (5, 6), explicit_paddings=explicit) == {"pads": (1, 3, 2, 4)}
    assert pads("EXPLICIT", (5, 6), shape=NCHW, explicit_paddings=[0, 0, *explicit[:6]]) == {"pads": (1, 3, 2, 4)}


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("FULL", {}),
        ("EXPLICIT", {}),
        ("EXPLICIT", {"explicit_paddings": [0, 0, 1, 1]}),
        ("EXPLICIT", {"explicit_paddings": [0, 0, -1, 1, 0, 0, 0, 0]}),
    ],
)
def test_paddings_that_are_none(kind, attributes):
    with pytest.raises(CorruptError, match=r"y.*padding"):
        pads(kind, (5, 6), **attributes)


@settings(max_examples=40, deadline=None)
@given(st.tuples(st.integers(1, 9), st.integers(1, 9)), st.integers(1, 5), st.integers(1, 4), st.booleans())
def test_padding_computed_when_the_model_runs(sizes, extent, stride, filled):
    build = Builder()
    x = build.input("x", FLOAT32, (1, 2, H, Dim.symbol("w")))
    y = pad_same(build, x, (extent, 1), (stride, stride), build.constant(7.0) if filled else None)
    build.output("y", y)
    array = np.random.default_rng(0).standard_normal((1, 2, *sizes)).astype(np.float32)
    margins = [reference.same_padding(size, reach, stride) for size, reach in zip(sizes, (extent, 1), strict=True)]
    want = np.pad(array, [(0, 0), (0, 0), *margins], constant_values=7.0 if filled else 0.0)
    np.testing.assert_array_equal(run(build.graph(), {"x": array})[0], want)
