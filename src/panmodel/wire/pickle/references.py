"""Calls of Python's library that make nothing but a reference to what a pickle names: they do nothing by themselves.

What has no other form is pickled so: members of some enumerations, bound methods and torch's own functions as
`getattr(Colour, "red")`, partial functions as `partial(relu)`, hints of types as `getitem(typing.Union, (…))`, and the
type of None as `type(None)`. What is referred to is named in the pickle too and judged by its own name; here it is only
seen to it that it is not called, and that the way to it leads through no attribute that classes have of themselves.

Source: CPython's Lib/enum.py, Modules/_functoolsmodule.c (`partial_reduce`), Lib/typing.py (`__reduce__`).
"""

from __future__ import annotations

from panmodel.wire.pickle.records import Global, Object

GETATTR = frozenset({Global("builtins", "getattr"), Global("__builtin__", "getattr")})
PARTIAL = frozenset({Global("functools", "partial"), Global("_functools", "partial")})
_GETITEM = frozenset({Global("_operator", "getitem"), Global("operator", "getitem")})
_TYPE = frozenset({Global("builtins", "type"), Global("__builtin__", "type")})
#: Every name that is called so.
CALLEES = GETATTR | PARTIAL | _GETITEM | _TYPE


def only_refers(callee: object, args: tuple[object, ...]) -> bool:
    """Whether a call makes nothing but a reference, whatever it refers to.

    Args:
        callee: What is called.
        args: All that it is given.
    """
    if callee not in CALLEES:
        return False
    if callee in PARTIAL:
        return len(args) == 1 and _is_named(args[0])
    if callee in _TYPE:
        return args == (None,)
    if len(args) != 2:
        return False
    target, key = args
    if callee in _GETITEM:
        return isinstance(target, Global) and target.module == "typing" and target.name.isidentifier()
    if not isinstance(key, str) or not key.isidentifier() or key.startswith("__"):
        return False
    if isinstance(target, Object):  # whose method it is
        return isinstance(target.cls, Global) and not target.called
    return isinstance(target, Global)


def _is_named(value: object) -> bool:
    """Whether it is a class or function, or an attribute of one, rather than what something returned."""
    if isinstance(value, Object):
        return value.cls in GETATTR and only_refers(value.cls, value.args) and isinstance(value.args[0], Global)
    return isinstance(value, Global)


def is_reference(made: Object) -> bool:
    """Whether an object came from such a call, and nothing was done to what it refers to."""
    if not made.called or made.kwargs or made.items or made.elements or not only_refers(made.cls, made.args):
        return False
    if made.cls not in PARTIAL:
        return not made.states
    return all(isinstance(state, tuple) and len(state) == 4 and state[0] == made.args[0] for state in made.states)
