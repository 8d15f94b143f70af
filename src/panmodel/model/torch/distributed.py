"""Distributed checkpoints put together: tensors of their chunks, and the nested state dict of its flat names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from panmodel.dtypes import DType
from panmodel.errors import CorruptError
from panmodel.io.source import CHUNK
from panmodel.model.tensor import Tensor

if TYPE_CHECKING:
    import numpy as np

#: Keys, from the outermost container on; those of a list are positions.
Path = tuple[str | int, ...]


class ChunkTensor(Tensor):
    """A tensor in a file of its own, which is opened when the tensor is read: a checkpoint has thousands.

    Args:
        name: Its name.
        dtype: Element type that it is said to have.
        shape: Dimensions likewise.
        load: Opens the file; what is in it may be anything.
    """

    def __init__(self, name: str, dtype: DType, shape: tuple[int, ...], load: Callable[[], Tensor]) -> None:
        self.name, self.dtype, self.shape, self._load = name, dtype, shape, load

    def _loaded(self) -> Tensor:
        tensor = self._load()
        if (tensor.dtype, tensor.shape) != (self.dtype, self.shape):
            found = f"{tensor.dtype}{list(tensor.shape)}"
            expected = f"{self.dtype}{list(self.shape)}"
            raise CorruptError(f"tensor {self.name!r}: a chunk is {found}, the metadata says {expected}")
        return tensor

    def numpy(self) -> np.ndarray:
        """See `Tensor.numpy`."""
        return self._loaded().numpy()

    def chunks(self, nbytes: int = CHUNK) -> Iterator[memoryview]:
        """See `Tensor.chunks`."""
        yield from self._loaded().chunks(nbytes)


class _Level(dict[str | int, object]):
    """A container that paths lead through, as against one that a value is."""


def nested(items: Mapping[str, object], paths: Mapping[str, Path], where: str) -> dict[str | int, object]:
    """The state dict that a checkpoint was saved from.

    Every key of a dictionary has become text there; the numbers by which an optimizer knows its parameters are numbers
    again, if those in its groups are.

    Args:
        items: Name → tensor or value.
        paths: Name → the keys that lead to it; names without any are keys themselves.
        where: The file, for messages.

    Raises:
        CorruptError: Two paths contradict each other.
    """
    root = _Level()
    for name, item in items.items():
        path = paths.get(name, (name,))
        here = root
        for key in path[:-1]:
            below = here.setdefault(key, _Level())
            if not isinstance(below, _Level):
                raise CorruptError(f"the path to {name[:200]!r} leads through a value", where=where)
            here = below
        if path[-1] in here:
            raise CorruptError(f"two things lie at the path to {name[:200]!r}", where=where)
        here[path[-1]] = item
    return _dictionary(root)


def _plain(item: object) -> object:
    """A level as a list, if its keys are positions, or as a dictionary; a value as it is."""
    if not isinstance(item, _Level):
        return item
    if item and set(item) == set(range(len(item))):
        return [_plain(item[index]) for index in range(len(item))]
    return _dictionary(item)


def _dictionary(level: _Level) -> dict[str | int, object]:
    made = {key: _plain(item) for key, item in level.items()}
    indices = _indices(made.get("param_groups"))
    state = made.get("state")
    if indices and isinstance(state, dict):
        numbers = {str(index): index for index in indices}
        made["state"] = {numbers.get(key, key): item for key, item in state.items()}
    return made


def _indices(groups: object) -> list[int]:
    """The numbers of an optimizer's parameters; none if they go by names."""
    members = [group.get("params") for group in groups if isinstance(group, dict)] if isinstance(groups, list) else []
    indices = [index for listed in members if isinstance(listed, list) for index in listed]
    return indices if all(type(index) is int for index in indices) else []
