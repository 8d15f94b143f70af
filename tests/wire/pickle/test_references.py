from __future__ import annotations

import enum
import functools
import pickle
import typing

import pytest

from panmodel.wire.pickle import Global, Machine, Object, is_reference
from panmodel.wire.pickle.references import only_refers

THING, GETATTR, PARTIAL = Global("my.nets", "Thing"), Global("builtins", "getattr"), Global("functools", "partial")


class Colour(enum.Enum):
    RED = "red"

    def __reduce_ex__(self, protocol):  # as Python 3.11 and older ones do for some
        return getattr, (Colour, "RED")

    def shade(self):
        return self.value


class Brush:
    def paint(self):
        return 1


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize(
    "value", [Colour.RED, Brush().paint, functools.partial(Brush), functools.partial(Brush, 1, size=2), type(None)]
)
def test_what_python_pickles_as_a_reference(value, protocol):
    machine = Machine(pickle.dumps(value, protocol), where="a")
    made = machine.run()
    assert isinstance(made, Object) and is_reference(made)
    assert machine.referring and not machine.called | machine.given | machine.recalled


def test_hints_of_types():
    machine = Machine(pickle.dumps(typing.Union[int, typing.List[str]], 2), where="a")  # noqa: UP006, UP007
    machine.run()
    assert machine.referring <= {Global("_operator", "getitem")} and not machine.called


def test_an_object_that_is_called_is_no_reference():
    method = Object(GETATTR, (Object(THING, called=False), "run"))
    assert is_reference(method) and not is_reference(Object(GETATTR, (Object(THING, (1,)), "run")))
    assert not is_reference(Object(GETATTR, (method, "run")))


@pytest.mark.parametrize(
    ("callee", "args"),
    [
        (THING, ()),
        (GETATTR, (THING,)),
        (GETATTR, (THING, "a", None)),
        (GETATTR, (THING, "__class__")),
        (GETATTR, (THING, "a.b")),
        (GETATTR, (THING, b"a")),
        (GETATTR, ("text", "a")),
        (PARTIAL, ()),
        (PARTIAL, ("text",)),
        (PARTIAL, (THING, 1)),
        (PARTIAL, (Object(THING, (1,)),)),
        (PARTIAL, (Object(GETATTR, (Object(THING, called=False), "a")),)),
        (Global("_operator", "getitem"), ([1], 0)),
        (Global("_operator", "getitem"), (THING, 0)),
        (Global("builtins", "type"), (THING,)),
        (Global("builtins", "type"), ("A", (), {})),
        (Object(THING), (None,)),
    ],
)
def test_other_calls_are_none(callee, args):
    assert not only_refers(callee, args)


def test_a_reference_that_is_changed_is_none():
    assert not is_reference(Object(GETATTR, (THING, "a"), states=[{}]))
    assert not is_reference(Object(GETATTR, (THING, "a"), items=[("a", 1)]))
    assert not is_reference(Object(GETATTR, (THING, "a"), elements=[1]))
    assert not is_reference(Object(GETATTR, (THING, "a"), {"b": 1}))
    assert not is_reference(Object(GETATTR, (THING, "a"), called=False))
    assert is_reference(Object(PARTIAL, (THING,), states=[(THING, (), {}, None)]))
    assert not is_reference(Object(PARTIAL, (THING,), states=[(Global("os", "system"), (), {}, None)]))
    assert not is_reference(Object(PARTIAL, (THING,), states=[{}]))
