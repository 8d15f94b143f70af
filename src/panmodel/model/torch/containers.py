"""What containers in pickles are: their kinds, the keys of dictionaries as text, and attributes of these."""

from __future__ import annotations

from collections.abc import Sequence

from panmodel.model.torch.skeleton import Key, Scalar, is_key, is_scalar
from panmodel.wire.pickle import Dictionary, Object, describe
from panmodel.wire.torch_records import Listed, PlainValue, Sizes, TorchValue

_FEW_PARTS = 8  # of a tuple that is a key
_LONGEST_KEY = 1000  # bytes of a key that are its name


def nested_lists(items: list[object], shape: tuple[int, ...]) -> object:
    """The elements of an array, row-major, as lists within each other; the only one of an array without dimensions."""
    for extent in reversed(shape[1:]):
        items = [items[at : at + extent] for at in range(0, len(items), max(extent, 1))]
    return items if shape else items[0]


def key_text(key: object) -> str:
    """A key that JSON has no form for, as part of a name."""
    if isinstance(key, bytes):  # names that were byte strings of Python 2
        text = key[:_LONGEST_KEY]
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError:
            return text.decode("latin-1")
    if isinstance(key, tuple) and len(key) <= _FEW_PARTS and all(map(is_scalar, key)):
        return ", ".join(map(describe, key))
    if isinstance(key, Object) and len(key.args) == 1 and is_scalar(key.args[0]):  # a member of an enumeration
        return key_text(key.args[0]) if isinstance(key.args[0], bytes) else str(key.args[0])
    return str(key) if isinstance(key, (PlainValue, TorchValue)) else describe(key)


def key_names(keys: Sequence[object]) -> list[Key]:
    """What a skeleton has for the keys of a dictionary, each once: what JSON has no form for is text.

    Args:
        keys: In their order; those of an object are of its attributes, items and elements, which may meet.
    """
    kept, names = {key for key in keys if is_key(key)}, dict[Key, None]()
    for position, key in enumerate(keys):
        name = key if is_key(key) else key_text(key)
        while name in names or (name is not key and name in kept):
            name = f"{name} {position}"
        names[name] = None
    return list(names)


def kind_of(value: object) -> str:
    """What a container without names is called in a skeleton; "frozenset" and "deque" before they are simplified."""
    if isinstance(value, Listed):
        return value.kind
    if isinstance(value, Sizes):
        return "Size"
    return next(kind.__name__ for kind in (list, tuple, set, frozenset) if isinstance(value, kind))


def has_more_attributes(value: object) -> bool:
    """Whether a dictionary has attributes beside what `versions` keeps."""
    if not isinstance(value, Dictionary) or not value.attributes:
        return False
    kept, metadata = versions(value), value.attributes.get("_metadata")
    if kept is None or not isinstance(metadata, dict) or len(value.attributes) > 1 or len(kept) != len(metadata):
        return True
    return any(len(kept[name]) != len(told) for name, told in metadata.items())


def versions(value: object) -> dict[str, dict[str, Scalar]] | None:
    """`_metadata` of a state dict: what it says of each module."""
    metadata = value.attributes.get("_metadata") if isinstance(value, Dictionary) else None
    if not isinstance(metadata, dict):
        return None
    return {
        name: {key: told for key, told in item.items() if isinstance(key, str) and is_scalar(told)}
        for name, item in metadata.items()
        if isinstance(name, str) and isinstance(item, dict)
    }
