"""How far arrays are apart, and which intermediate tensor is first to be so."""

import numpy as np
import pytest

from panmodel.verify.difference import array_difference, first_difference


def test_absolute_and_relative_errors():
    found = array_difference("y", np.array([1.0, 2.0, 0.0]), np.array([1.5, 2.0, 0.25]), 0.1, 0.1)
    assert (found.max_absolute, found.max_relative, found.within) == (0.5, 1.0, False)
    assert array_difference("y", np.array([1.0]), np.array([1.05]), 0.0, 0.1).within
    assert array_difference("y", np.array([100.0]), np.array([101.0]), 0.01, 0.0).within


@pytest.mark.parametrize(
    ("a", "b", "within"),
    [
        ([1.0, np.nan], [1.0, np.nan], True),
        ([1.0, np.nan], [1.0, 1.0], False),
        ([np.inf], [np.inf], True),
        ([np.inf], [-np.inf], False),
        ([np.inf], [1e30], False),
        ([[1.0]], [1.0], False),
        ([True, False], [True, False], True),
        ([], [], True),
    ],
)
def test_odd_values(a, b, within):
    assert array_difference("y", np.array(a), np.array(b), 1e-3, 1e-3).within is within


def test_strings_are_compared_as_text():
    assert array_difference("y", np.array([b"a"], object), np.array(["a"]), 0, 0).within
    assert not array_difference("y", np.array([b"a"], object), np.array(["b"]), 0, 0).within


def test_large_integers_keep_their_type_s_range():
    assert not array_difference("y", np.array([2], np.uint8), np.array([255], np.uint8), 0, 1).within


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("a", "b", "types", "gap"),
    [
        (2**60, 2**60 + 100, "qq", 100),
        (2**63 - 1, 2**63 - 2, "qq", 1),
        (-(2**63), 2**63 - 1, "qq", 2**64 - 1),
        (2**64 - 1, 2**64 - 2, "QQ", 1),
        (2**60, 2**60 + 1, "qQ", 1),
        (2**63 + 1, 2**63 - 1, "Qq", 2),
        (2**63, -(2**63), "Qq", 2**64),
        (-1, 255, "bB", 256),
        (1, 2**53 + 1, "?q", 2**53),
        (7, 7, "bQ", 0),
    ],
)
def test_integers_are_compared_as_such(a, b, types, gap):
    found = array_difference("y", np.array([a, 0], types[0]), np.array([b, 0], types[1]), 0, 0)
    assert (found.within, found.max_absolute) == (gap == 0, float(gap))
    assert array_difference("y", np.array(a, types[0]), np.array(b, types[1]), 0, gap).within


def test_the_first_difference_counts_in_order_of_the_second():
    a = {"x": np.zeros(3), "y": np.ones(3), "z": np.ones(3)}
    b = {"w": np.zeros(1), "x": np.zeros(3), "z": np.zeros(3), "y": np.zeros(3)}
    compared, found = first_difference(a, b, 1e-3, 1e-3)
    assert (compared, found.name) == (2, "z")
    assert first_difference(a, a, 0, 0) == (3, None)


def test_a_tensor_may_lie_in_another_layout():
    nhwc = np.random.default_rng(0).standard_normal((2, 4, 4, 3))
    assert first_difference({"x": nhwc}, {"x": nhwc.transpose(0, 3, 1, 2)}, 1e-6, 1e-6) == (1, None)
    square = np.random.default_rng(0).standard_normal((4, 4, 4, 4))
    assert first_difference({"x": square}, {"x": square.transpose(0, 3, 1, 2)}, 1e-6, 1e-6) == (1, None)
    assert first_difference({"x": nhwc}, {"x": nhwc.transpose(0, 3, 1, 2) + 1}, 1e-6, 1e-6)[1] is not None
