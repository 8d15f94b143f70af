"""What in a file reaches outside of it: listed, never followed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from panmodel.wire.hdf5.dataset import Dataset
from panmodel.wire.hdf5.group import CommittedType, Group


@dataclass(frozen=True, slots=True)
class Foreign:
    """Something that reaches outside of the file.

    Attributes:
        kind: "external link", "external storage", "virtual dataset", "third-party filter" or "user-defined link".
        path: Path of the object from the root.
        target: The file that it names, or the filter; empty if the file does not say.
    """

    kind: str
    path: str
    target: str


def walk(root: Group) -> Iterator[tuple[str, Group | Dataset | CommittedType]]:
    """Every object below a group that a hard link leads to, with its path, in the order of the file.

    A dataset comes under each of its names, a group is entered once. Soft and external links are not followed.

    Raises:
        PanmodelError: A group or an object is damaged.
    """
    entered = {root.address}
    waiting: list[Iterator[tuple[str, Group | Dataset | CommittedType]]] = [_hard(root)]
    while waiting:
        found = next(waiting[-1], None)
        if found is None:
            waiting.pop()
            continue
        yield found
        if isinstance(found[1], Group) and found[1].address not in entered:
            entered.add(found[1].address)
            waiting.append(_hard(found[1]))


def _hard(group: Group) -> Iterator[tuple[str, Group | Dataset | CommittedType]]:
    for link in group.links.values():
        if link.kind == "hard":
            found = group.open(link)
            yield found.name, found


def foreign(root: Group) -> list[Foreign]:
    """Everything below a group that reaches outside of the file. Nothing of it is opened.

    Raises:
        PanmodelError: A part of the file is damaged, so that nothing can be said about it.
    """
    found = _links(root)
    for path, item in walk(root):
        if isinstance(item, Group):
            found.extend(_links(item))
        elif isinstance(item, Dataset):
            found.extend(Foreign("external storage", path, name) for name in item.external_files)
            if item.is_virtual:
                found.extend(Foreign("virtual dataset", path, name) for name in item.virtual_files or ("",))
            strange = (step for step in item.filters if step.is_foreign)
            found.extend(Foreign("third-party filter", path, f"{step.name} ({step.number})") for step in strange)
    return list(dict.fromkeys(found))


def _links(group: Group) -> list[Foreign]:
    prefix = group.name.rstrip("/")
    kinds = {"external": "external link", "user": "user-defined link"}
    return [
        Foreign(kinds[link.kind], f"{prefix}/{link.name}", link.file)
        for link in group.links.values()
        if link.kind in kinds
    ]
