from __future__ import annotations

import collections
import contextlib
import io
import pickle
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panmodel.errors import CorruptError, LimitError, PanmodelError, TruncatedError, UnsafeError
from panmodel.limits import Limits
from panmodel.wire.pickle import Dictionary, Global, Machine, Object

ORDERED = Global("collections", "OrderedDict")


def run(data: bytes, **options: object) -> object:
    return Machine(data, where="a.pkl", **options).run()  # type: ignore[arg-type]


#: What protocols 0 to 3 write as calls.
BUILTINS = {
    Global("_codecs", "encode"): lambda args: args[0].encode(args[1]),
    **{Global(module, "bytes"): lambda args: bytes(*args) for module in ("__builtin__", "builtins")},
    **{Global(module, "frozenset"): lambda args: frozenset(*args) for module in ("__builtin__", "builtins")},
}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(1 << 2100), max_value=1 << 2100),
    st.floats(),
    st.text(st.characters(exclude_categories=[])),
    st.binary(max_size=300),
)
keys = st.one_of(scalars, st.tuples(scalars, scalars), st.frozensets(st.integers()))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner), st.tuples(inner, inner, inner, inner), st.tuples(inner), st.dictionaries(keys, inner)
    ),
    max_leaves=20,
)


def same(one: object, other: object) -> bool:
    """Equal in type too, and NaN equal to itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))  # type: ignore[arg-type]
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))  # type: ignore[attr-defined]
    return one == other


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@given(value=values)
def test_reads_what_python_pickles(protocol: int, value: object) -> None:
    data = pickle.dumps(value, protocol)
    assert same(run(data, known=BUILTINS), pickle.loads(data))  # protocol 0 itself loses the payload of a NaN


class Named(Exception):
    """A class was asked for."""


class Plain(pickle.Unpickler):
    """CPython's own, which finds no class."""

    def find_class(self, module: str, name: str) -> object:
        raise Named(module, name)


#: No frames: an argument that reaches over the end of one makes CPython read it from the wrong place.
fragments = st.one_of(
    st.sampled_from(
        [bytes([code]) for code in b"(012NN]})ltdaesubRoQ" + bytes(range(0x85, 0x95))] + [b"\x8f", b"\x81"]
    ),
    st.sampled_from([b"K\x01", b"K\x02", b"M\x01\x02", b"J\xff\xff\xff\xff", b"\x8a\x01\xff", b"\x8a\0"]),
    st.sampled_from(
        [
            b"I01\n",
            b"I7\n",
            b"I0x1f\n",
            b"I 5\n",
            b"I1_0\n",
            b"L12L\n",
            b"L-3\n",
            b"F1.5\n",
            b"Fx\n",
            b"F1_0\n",
            b"F 1\n",
        ]
    ),
    st.sampled_from([b"G?\xf0\0\0\0\0\0\0", b"\x8b\x01\0\0\0\x05", b"\x8b\xff\xff\xff\xff", b"T\xff\xff\xff\xff"]),
    st.sampled_from([b"X\x01\0\0\0k", b"\x8c\x01k", b"\x8c\x01\xff", b"Vk\\u00e9\n", b"S'k'\n", b"S'k\n", b"U\x01k"]),
    st.sampled_from([b"T\x01\0\0\0k", b"C\x01k", b"B\x01\0\0\0k", b"\x96\x01\0\0\0\0\0\0\0k", b"P1\n", b"\xfe"]),
    st.sampled_from(
        [
            b"q\0",
            b"q\x01",
            b"r\x02\0\0\0",
            b"p1\n",
            b"p-1\n",
            b"h\0",
            b"h\x01",
            b"j\x02\0\0\0",
            b"g1\n",
            b"p01\n",
            b"p0x1\n",
            b"g01\n",
        ]
    ),
    st.sampled_from([b"\x80\x02", b"\x80\x09", b"\x97", b"\x82\x01"]),
)


@settings(max_examples=3000, deadline=None)
@given(st.lists(fragments, max_size=14))
def test_means_what_python_means(parts: list[bytes]) -> None:
    data = b"".join(parts) + b"."
    try:
        expected = Plain(io.BytesIO(data), encoding="utf-8").load()
    except Named:  # a record to us
        return
    except Exception:
        with pytest.raises(PanmodelError):
            run(data)
    else:
        assert same(run(data), expected), data


def test_a_state_of_none_is_none() -> None:
    assert run(b"K\x01Nb.") == 1 and run(b"]Nb.") == []


def test_names_and_calls_become_records() -> None:
    value = run(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00trueh\x00\x85R.".replace(b"h\x00", b""))
    assert isinstance(value, Object)
    assert (value.cls, value.args, value.called) == (Global("os", "system"), ("true",), True)


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'true'\ntR.",  # GLOBAL, REDUCE
        b"(S'true'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'true'\no.",  # OBJ
        b"\x8c\x02os\x8c\x06system\x93(S'true'\nt\x81.",  # STACK_GLOBAL, NEWOBJ
        b"\x8c\x02os\x8c\x06system\x93(S'true'\nt}\x92.",  # NEWOBJ_EX
    ],
)
def test_every_way_to_call_is_seen(data: bytes) -> None:
    machine = Machine(data, where="a.pkl")
    value = machine.run()
    assert isinstance(value, Object)
    assert value.args == ("true",)
    assert list(machine.globals) == [Global("os", "system")]


def test_a_name_that_is_dropped_again_is_reported() -> None:
    machine = Machine(b"cos\nsystem\n0N.", where="a.pkl")
    assert machine.run() is None
    assert Global("os", "system") in machine.globals


def test_known_names_make_what_the_table_says() -> None:
    known = {ORDERED: lambda args: Dictionary()}
    data = pickle.dumps(collections.OrderedDict(a=1, b=[2]), 2)
    value = run(data, known=known)
    assert value == {"a": 1, "b": [2]}
    with_attributes = collections.OrderedDict(a=1)
    with_attributes._metadata = {"": 1}  # type: ignore[attr-defined]
    value = run(pickle.dumps(with_attributes, 2), known=known)
    assert isinstance(value, Dictionary)
    assert value.attributes == {"_metadata": {"": 1}}


def test_states_items_and_elements_of_unknown_objects_are_kept() -> None:
    value = run(b"cm\nC\n)\x81N}b(X\x01\x00\x00\x00kK\x01uK\x02a.".replace(b"N}b", b"}b"))
    assert isinstance(value, Object)
    assert (value.states, value.items, value.elements, value.called) == ([{}], [("k", 1)], [2], False)


def test_persistent_ids_go_to_their_handler() -> None:
    assert run(b"K\x07Q.", persistent=lambda identity: ("stored", identity)) == ("stored", 7)
    assert run(b"P7\n.", persistent=lambda identity: ("stored", identity)) == ("stored", "7")


@pytest.mark.parametrize("data", [b"\x82\x01.", b"\x83\x01\x00.", b"\x84\x01\x00\x00\x00."])
def test_the_extension_registry_is_not_asked(data: bytes) -> None:
    with pytest.raises(UnsafeError, match="extension registry"):
        run(data)


def test_several_pickles_lie_one_after_another() -> None:
    machine = Machine(b"K\x01.K\x02.rest", where="a.pkl")
    assert (machine.run(), machine.run()) == (1, 2)
    assert machine.position == 6


@pytest.mark.parametrize("data", [b"]]s.", b"NK\x01K\x02s.", b"NK\x01a.", b"]}b.", b"K\x01)R.", b"](K\x01\x90."])
def test_targets_of_the_wrong_type_are_refused(data: bytes) -> None:
    with pytest.raises(CorruptError):
        run(data)


@pytest.mark.parametrize(
    "data",
    [b"X\xff\xff\xff\xffabc.", b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", b"\x8b\xff\xff\xff\x7f1.", b"K", b"I1", b""],
)
def test_lengths_are_held_against_what_is_there(data: bytes) -> None:
    with pytest.raises(TruncatedError):
        run(data)


def test_deep_and_endless_structures_do_not_exhaust_the_stack() -> None:
    deep = 200_000
    for opener, closer in ((b"", b"\x85"), (b"", b"]2a")):
        run(opener + b")" + closer * deep + b".")
    run(b"(" * deep + b"t" * deep + b".")
    run(b"cm\nf\n" + b")R" * deep + b".")  # what one call returns is called again
    endless = run(b"]q\x00h\x00a.")
    assert isinstance(endless, list)
    assert endless[0] is endless
    with pytest.raises(CorruptError, match="key"):
        run(b"}" + b")" + b"\x85" * deep + b"Ns.")
    with pytest.raises(CorruptError, match="key"):  # 2**60 parts by sharing
        run(b"})" + b"2\x86" * 60 + b"Ns.")


@pytest.mark.parametrize("opcode", [b"X\x01\x00\x00\x00k", b"I12\n", b"\x95\x00\x00\x00\x00\x00\x00\x00\x00"])
def test_what_reaches_over_the_end_of_a_frame_is_refused(opcode: bytes) -> None:
    run(b"\x95" + struct.pack("<Q", len(opcode)) + opcode + b"N.")
    with pytest.raises(CorruptError, match="frame"):
        run(b"\x95" + struct.pack("<Q", len(opcode) - 1) + opcode + b"N.")


def test_caps_hold() -> None:
    with pytest.raises(LimitError, match="opcodes"):
        run(b"N0" * 100 + b"N.", limits=Limits(pickle_opcodes=100))
    for data in (b"N" * 20 + b".", b"(" * 20 + b".", b"N" + b"\x94" * 20 + b"."):
        with pytest.raises(LimitError):
            run(data, limits=Limits(pickle_objects=10))
    for data in (b"]0" * 20 + b"N.", b"cm\nf\n)R0" * 20 + b"N."):
        with pytest.raises(LimitError, match="containers"):
            run(data, limits=Limits(pickle_objects=10))
    with pytest.raises(LimitError, match="bytes"):
        run(b"N.", limits=Limits(pickle_bytes=1))


@given(st.binary(max_size=60))
def test_noise_ends_in_own_errors(data: bytes) -> None:
    with contextlib.suppress(PanmodelError):
        run(data)
