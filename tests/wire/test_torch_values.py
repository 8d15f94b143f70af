"""Plain values; Python's own pickles of them are the judge."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import pathlib
import pickle

import pytest

from panmodel.errors import CorruptError
from panmodel.io.source import MemorySource
from panmodel.wire.pickle import Global, Object
from panmodel.wire.torch_container import load
from panmodel.wire.torch_names import AllowList
from panmodel.wire.torch_records import Listed, PlainValue

VALUES = [
    datetime.date(2024, 2, 29),
    datetime.time(1, 2, 3, 4),
    datetime.datetime(1999, 12, 31, 23, 59, 59),
    datetime.timedelta(-1, 5, 7),
    decimal.Decimal("1.50"),
    fractions.Fraction(-1, 3),
    pathlib.PurePosixPath("/a/b"),
    pathlib.PurePosixPath("a/b"),
    range(1, 9, 2),
    slice(None, 3),
]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_say_what_they_are(value: object, protocol: int) -> None:
    found = load(MemorySource(pickle.dumps(value, protocol)))
    assert isinstance(found.value, PlainValue)
    expected = value.isoformat() if hasattr(value, "isoformat") else str(value)
    assert (str(found.value), dict(found.unknown)) == (expected, {})


class Plain:
    pass


@pytest.mark.parametrize("protocol", range(6))
def test_objects_are_inert_in_every_protocol(protocol: int) -> None:
    plain = Plain()
    plain.a = 1  # type: ignore[attr-defined]
    found = load(MemorySource(pickle.dumps(plain, protocol)))
    cls = Global(__name__, "Plain")
    assert isinstance(found.value, Object)
    assert (found.value.cls, found.value.called, found.value.states) == (cls, False, [{"a": 1}])
    assert (set(found.unknown), found.called) == ({cls}, frozenset())


@pytest.mark.parametrize("protocol", range(6))
def test_containers_are_plain_ones(protocol: int) -> None:
    values = [{1, 2}, frozenset({3}), collections.deque([4, 5], 3), b"\0\xff", b"", bytearray(b"ab"), 1 - 2j]
    values.append(collections.OrderedDict(a=1))  # type: ignore[arg-type]
    found = load(MemorySource(pickle.dumps(values, protocol)))
    assert isinstance(found.value, list) and not found.unknown
    kinds = [item.kind if isinstance(item, Listed) else type(item).__name__ for item in found.value]
    assert kinds[:3] == ["set", "frozenset", "deque"]
    plain = [sorted(item) if isinstance(item, (set, frozenset)) else item for item in found.value]
    assert plain == [[1, 2], [3], [4, 5], b"\0\xff", b"", bytearray(b"ab"), 1 - 2j, {"a": 1}]


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("datetime.datetime", (b"\xff" * 10,)),
        ("datetime.datetime", (b"1",)),
        ("datetime.datetime", (2024, 1, 1)),
        ("datetime.timedelta", (10**30, 0, 0)),
        ("datetime.timezone", ("UTC",)),
        ("pathlib.PosixPath", (1,)),
        ("decimal.Decimal", (None,)),
        ("fractions.Fraction", (1.5,)),
        ("collections.deque", (3,)),
        ("collections.OrderedDict", ([1],)),
        ("builtins.bytes", (10**9,)),
        ("builtins.bytearray", (10**9,)),
        ("builtins.complex", ("1j",)),
        ("_codecs.encode", ("a", "rot13")),
        ("_codecs.encode", ("\u20ac", "latin1")),
        ("copyreg._reconstructor", (Global("m", "C"),)),
        ("copyreg.__newobj__", ()),
    ],
)
def test_other_arguments_are_refused(name: str, args: tuple[object, ...]) -> None:
    module, _, last = name.rpartition(".")
    constructor = AllowList("a.pt", 100).known[Global(module, last)]
    assert constructor is not None
    with pytest.raises(CorruptError):
        constructor(args)
