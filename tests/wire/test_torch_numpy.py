"""numpy's values in pickles; numpy writes them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from panmodel import dtypes
from panmodel.errors import CorruptError, LimitError
from panmodel.io.source import MemorySource
from panmodel.limits import DEFAULT
from panmodel.model.torch.storage import from_array
from panmodel.wire.pickle import Global, Object
from panmodel.wire.torch_container import load
from panmodel.wire.torch_numpy import Arrays
from panmodel.wire.torch_records import ArrayRecord

FLOATS = Object(Global("numpy", "dtype"), ("f4", False, True))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("code", ["<f4", ">f8", "|i1", "<u2", ">i8", "|b1", "<c8", ">c16", "<f2"])
def test_arrays_are_what_numpy_wrote(code: str, order: str, protocol: int) -> None:
    array = np.arange(6).reshape(2, 3).astype(code, order=order)  # type: ignore[call-overload]
    found = load(MemorySource(pickle.dumps(array, protocol)))
    assert isinstance(found.value, ArrayRecord) and not found.unknown
    made = from_array("a", found.value)
    assert (made.dtype, made.shape) == (dtypes.from_numpy(array.dtype), (2, 3))
    np.testing.assert_array_equal(made.numpy(), array)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3)])
def test_scalars_and_empty_arrays(shape: tuple[int, ...]) -> None:
    found = load(MemorySource(pickle.dumps(np.ones(shape))))
    assert isinstance(found.value, ArrayRecord)
    made = from_array("a", found.value)
    assert made.numpy().tolist() == np.ones(shape).tolist()


@pytest.mark.parametrize(
    "array", [np.array(["a"]), np.array(["2024"], "M8[Y]"), np.zeros(1, [("a", "f4")]), np.array([b"a"])]
)
def test_elements_that_are_no_tensor_s_stay_inert(array: np.ndarray) -> None:
    found = load(MemorySource(pickle.dumps(array)))
    assert isinstance(found.value, ArrayRecord)
    assert found.value.dtype is None


def test_arrays_of_objects_are_lists() -> None:
    found = load(MemorySource(pickle.dumps(np.array([[1, "a"]], object))))
    assert isinstance(found.value, ArrayRecord)
    assert (found.value.items, found.value.shape) == ([1, "a"], (1, 2))


@pytest.mark.parametrize("state", [
    None, (), (1, (2,), FLOATS, False, b"\0" * 4), (1, (2,), FLOATS, False, None), (1, (-1,), FLOATS, False, b""),
    (1, [1], FLOATS, False, b"\0" * 4), (1, (1,), "f4", False, b"\0" * 4), (1, (1,), FLOATS, "C", b"\0" * 4),
    (1, (3,), FLOATS, False, [1]), (1, (True,), FLOATS, False, b"\0" * 4),
])  # fmt: skip
def test_states_that_do_not_fit_are_refused(state: object) -> None:
    with pytest.raises(CorruptError):
        Arrays("a.pkl", 100, DEFAULT).set_state(ArrayRecord(), state)


def test_dimensions_are_bounded() -> None:
    with pytest.raises(LimitError, match="65 dimensions"):
        Arrays("a.pkl", 100, DEFAULT).set_state(ArrayRecord(), (1, (1,) * 65, FLOATS, False, b"\0" * 4))


def test_random_states_are_inert() -> None:
    states = [np.random.RandomState(0), np.random.default_rng(0)]
    for protocol in (2, 4):
        found = load(MemorySource(pickle.dumps(states, protocol)))
        assert not found.called, found.called
        assert not found.unknown, found.unknown


@pytest.mark.parametrize(
    "number", [np.float32(1.5), np.complex64(1 + 2j), np.complex128(-2j), np.int8(-3), np.bool_(True)]
)
def test_scalars_are_numbers(number: np.generic) -> None:
    found = load(MemorySource(pickle.dumps({"loss": number})))
    assert found.value == {"loss": number.item()}


@pytest.mark.parametrize(
    ("scalar", "text"), [(np.str_("té\0xt"), "té\0xt"), (np.bytes_(b"a\xff"), b"a\xff"), (np.str_(""), "")]
)
def test_scalars_of_text_are_text(scalar: np.generic, text: str | bytes) -> None:
    assert load(MemorySource(pickle.dumps(scalar))).value == text


@pytest.mark.parametrize("scalar", [np.datetime64("2024-02-29"), np.longdouble(1), np.zeros(1, [("a", "f4")])[0]])
def test_scalars_of_other_types_stay_inert(scalar: np.generic) -> None:
    found = load(MemorySource(pickle.dumps(scalar)))
    assert isinstance(found.value, Object) and not found.unknown


@pytest.mark.parametrize(("code", "data"), [("f4", b"\0" * 3), ("U1", b"\xff" * 4), ("S2", b"abc"), ("S", b"abc")])
def test_scalars_of_other_bytes_than_theirs_are_refused(code: str, data: bytes) -> None:
    with pytest.raises(CorruptError):
        Arrays("a.pkl", 100, DEFAULT).scalar((Object(Global("numpy", "dtype"), (code, False, True)), data))


@pytest.mark.parametrize("array", [np.array(["a", "é\0b"], ">U3"), np.array([[b"ab"], [b""]]), np.empty(0, "S1")])
def test_elements_of_text_are_said(array: np.ndarray) -> None:
    found = load(MemorySource(pickle.dumps(array))).value
    assert isinstance(found, ArrayRecord)
    assert (found.items, found.has_items) == (array.ravel().tolist(), True)


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "int4", "float4_e2m1fn"])
def test_types_of_ml_dtypes(name: str, protocol: int) -> None:
    array = np.array([[1, -1], [2, 0]], dtypes.ALL[name].numpy)
    found = load(MemorySource(pickle.dumps([array, array[0, 1]], protocol)))
    assert isinstance(found.value, list) and not found.unknown
    assert from_array("a", found.value[0]).numpy().tobytes() == array.tobytes()
    assert found.value[1] == -1


@pytest.mark.parametrize("args", [(), (b"\0" * 4, FLOATS, (1,), "A"), (b"\0" * 4, FLOATS, (1,), None)])
def test_buffers_in_no_order_are_refused(args: tuple[object, ...]) -> None:
    with pytest.raises(CorruptError, match="neither in C nor in Fortran order"):
        Arrays("a.pkl", 100, DEFAULT).buffered(args)


@pytest.mark.parametrize(("code", "big_endian"), [(">f4", True), ("<f4", False), ("=f4", False), ("f4", False)])
def test_types_may_say_the_order_of_bytes_in_their_code(code: str, big_endian: bool) -> None:
    array = ArrayRecord()
    kind = Object(Global("numpy", "dtype"), (code, False, True))
    Arrays("a.pkl", 100, DEFAULT).set_state(array, (1, (1,), kind, False, b"\0" * 4))
    assert (array.code, array.dtype, array.big_endian) == ("f4", dtypes.FLOAT32, big_endian)
