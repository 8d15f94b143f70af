from __future__ import annotations

import collections
import pickle
import pickletools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.wire.pickle import Global, Machine, Object, PersistentId, dump

plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(1 << 1000), 1 << 1000), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(
        st.lists(inner), st.tuples(inner), st.tuples(inner, inner), st.dictionaries(st.text(), inner)
    ),
    max_leaves=20,
)


@given(plain)
def test_python_reads_what_is_written(value: object) -> None:
    data = dump(value)
    assert pickle.loads(data) == value
    assert Machine(data, where="").run() == value
    assert max(opcode.proto for opcode, _, _ in pickletools.genops(data)) <= 2


def test_calls_items_and_states_are_written() -> None:
    ordered = Object(Global("collections", "OrderedDict"), items=[(str(index), index) for index in range(2500)])
    ordered.states.append({"_metadata": {"": 1}})
    value = pickle.loads(dump(ordered))
    assert type(value) is collections.OrderedDict
    assert list(value.items()) == ordered.items
    assert value._metadata == {"": 1}


def test_names_and_strings_are_written_once() -> None:
    data = dump([Global("some.module", "name"), "a string", Global("some.module", "name"), "a string"])
    assert data.count(b"some.module") == data.count(b"a string") == 1
    assert Machine(data, where="").run() == [Global("some.module", "name"), "a string"] * 2


def test_persistent_ids_are_written() -> None:
    data = dump([PersistentId(("storage", 1))])
    assert Machine(data, where="", persistent=lambda identity: {"id": identity}).run() == [{"id": ("storage", 1)}]


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object(), 1 << 5000, [object()]])
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(TypeError, match="not written into pickles"):
        dump(value)
