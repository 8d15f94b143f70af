import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.importers.tensorflow.single import SIZES, array, operators, run

TYPES = ["float16", "float32", "float64", "int8", "int16", "uint8", "uint16", "int32", "int64", "bool"]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("computed", [False, True])
def test_constants(dtype, computed):
    x, pads = array(dtype, 2, 3), [[1, 2], [0, 3]]
    given_pads = np.array(pads, np.int32) if computed else pads
    np.testing.assert_array_equal(run("Pad", x, given_pads), np.pad(x, pads))
    value = array(dtype, low=1, high=5)
    found = run("PadV2", x, given_pads, np.asarray(value))
    np.testing.assert_array_equal(found, np.pad(x, pads, constant_values=value))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=3), st.data())
def test_margins(axes, data):
    mode, numpy_mode = data.draw(
        st.sampled_from([("REFLECT", "reflect"), ("SYMMETRIC", "symmetric"), ("", "constant")])
    )
    limit = {"REFLECT": 1, "SYMMETRIC": 0}.get(mode, -9)
    x = array("float32", *(size for size, _, _ in axes))
    pads = [(min(before, size - limit), min(after, size - limit)) for size, before, after in axes]
    operand = np.array(pads, np.int64) if data.draw(st.booleans()) else [list(pair) for pair in pads]
    sizes = data.draw(st.sampled_from(SIZES if isinstance(operand, list) else SIZES[:2]))
    found = run("MirrorPad" if mode else "Pad", x, operand, sizes=sizes, **({"mode": mode} if mode else {}))
    np.testing.assert_array_equal(found, np.pad(x, pads, mode=numpy_mode))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("mode", ["REFLECT", "SYMMETRIC"])
def test_types_of_mirrors(dtype, mode):
    x, pads = array(dtype, 3, 4), [[1, 2], [0, 3]]
    np.testing.assert_array_equal(run("MirrorPad", x, pads, mode=mode), np.pad(x, pads, mode=mode.lower()))


def test_known_margins_cost_no_arithmetic():
    x = array("float32", 3, 4)
    assert operators("MirrorPad", x, [[0, 0], [1, 1]], mode="SYMMETRIC") == ["Gather"]
    assert operators("MirrorPad", x, [[0, 0], [1, 1]], mode="REFLECT") == ["Pad"]
    assert operators("Pad", x, [[0, 0], [0, 0]]) == []
