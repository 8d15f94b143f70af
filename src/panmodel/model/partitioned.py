"""Tensors that a file, or several, hold in slices: partitioned variables, parts of ranks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from panmodel.dtypes import DType
from panmodel.errors import CorruptError, listed
from panmodel.io.source import CHUNK
from panmodel.model.notice import Notice, TensorsIncomplete
from panmodel.model.tensor import DeferredTensor, Tensor

if TYPE_CHECKING:
    import numpy as np

_MOST_SHOWN = 4  # slices of one tensor in a notice


@dataclass(frozen=True, slots=True)
class Part:
    """A stored slice of a partitioned tensor.

    Attributes:
        start: Its first element along each dimension.
        tensor: Its elements.
    """

    start: tuple[int, ...]
    tensor: Tensor

    @property
    def box(self) -> tuple[slice, ...]:
        """Where it belongs in the whole."""
        return tuple(slice(at, at + size) for at, size in zip(self.start, self.tensor.shape, strict=True))


class PartitionedTensor(Tensor):
    """A tensor that is stored in slices, put together when it is read.

    Args:
        name: Its name in the file.
        dtype: Element type.
        shape: Of the whole.
        parts: The slices that are there.
    """

    def __init__(self, name: str, dtype: DType, shape: tuple[int, ...], parts: list[Part]) -> None:
        self.name, self.dtype, self.shape = name, dtype, shape
        self.parts = sorted(parts, key=lambda part: part.start)

    @property
    def present(self) -> int:
        """Number of elements that the slices hold together."""
        return sum(part.tensor.size for part in self.parts)

    @property
    def is_complete(self) -> bool:
        """Whether the slices hold as many elements as the whole has."""
        return self.present == self.size

    @property
    def nbytes(self) -> int:
        """See `Tensor.nbytes`; those of the slices that are there."""
        return self.dtype.nbytes(self.present)

    def numpy(self) -> np.ndarray:
        """See `Tensor.numpy`."""
        import numpy as np

        self.require_complete()
        whole = np.empty(self.shape, self.dtype.numpy)
        seen = None if self._axis() is not None else np.zeros(self.shape, bool)
        for part in self.parts:
            if seen is not None:
                if seen[part.box].any():
                    raise CorruptError(f"tensor {self.name!r}: its slices overlap at {list(part.start)}")
                seen[part.box] = True
            whole[part.box] = part.tensor.numpy()
        return whole

    def chunks(self, nbytes: int = CHUNK) -> Iterator[memoryview]:
        """See `Tensor.chunks`; slices along the first dimension follow each other, and need not be put together."""
        self.require_complete()
        if self._axis() != 0 or self.dtype.bits < 8:
            yield from super().chunks(nbytes)
            return
        for part in self.parts:
            yield from part.tensor.chunks(nbytes)

    def require_complete(self) -> None:
        """Raise CorruptError unless every element is there."""
        if not self.is_complete:
            message = f"tensor {self.name!r}: {self.present} of its {self.size} elements are in the file"
            raise CorruptError(message, hint="it was saved in slices, of which some are missing: leave it out")

    def section(self, name: str, start: tuple[int, ...], sizes: tuple[int, ...]) -> Tensor:
        """Part of the tensor, lazily; of the slices only those that have some of it are read.

        Args:
            name: What to call it.
            start: Its first element along each dimension.
            sizes: Its shape, which lies inside the whole.
        """
        for part in self.parts:
            if part.start == start and part.tensor.shape == sizes:
                return DeferredTensor(name, self.dtype, sizes, part.tensor.numpy)
        return DeferredTensor(name, self.dtype, sizes, lambda: self._cut_out(start, sizes))

    def _cut_out(self, start: tuple[int, ...], sizes: tuple[int, ...]) -> np.ndarray:
        import numpy as np

        self.require_complete()
        found = np.empty(sizes, self.dtype.numpy)
        for part in self.parts:
            common = [
                (max(at, first), min(at + size, first + count))
                for at, size, first, count in zip(start, sizes, part.start, part.tensor.shape, strict=True)
            ]
            if all(low < high for low, high in common):
                there = tuple(slice(low - at, high - at) for (low, high), at in zip(common, start, strict=True))
                here = tuple(slice(low - at, high - at) for (low, high), at in zip(common, part.start, strict=True))
                found[there] = part.tensor.numpy()[here]
        return found

    def _axis(self) -> int | None:
        """The dimension along which the slices follow each other from one end to the other, if there is one."""
        for axis, size in enumerate(self.shape):
            position = 0
            for part in self.parts:
                sizes = [*part.tensor.shape]
                follows = part.start[axis] == position
                position += sizes[axis]
                sizes[axis] = size
                if not follows or tuple(sizes) != self.shape:
                    break
            else:
                if position == size:
                    return axis
        return None


def identities(tensors: Iterable[Tensor]) -> set[int]:
    """Of tensors and of their slices, for `is_among`."""
    return {id(each) for tensor in tensors for each in (tensor, *_parts(tensor))}


def is_among(tensor: Tensor, found: set[int]) -> bool:
    """Whether a tensor, or else each of its slices, has one of these identities."""
    parts = _parts(tensor)
    return id(tensor) in found or (bool(parts) and all(id(part) in found for part in parts))


def _parts(tensor: Tensor) -> list[Tensor]:
    return [part.tensor for part in tensor.parts] if isinstance(tensor, PartitionedTensor) else []


def lacking(tensors: Mapping[str, Tensor], *, keeps_parts: bool = False) -> dict[str, PartitionedTensor]:
    """The tensors that miss some of their slices.

    Args:
        tensors: By name.
        keeps_parts: Only those of which nothing is there at all.
    """
    found = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, PartitionedTensor)}
    return {
        name: tensor for name, tensor in found.items() if not (tensor.is_complete or (keeps_parts and tensor.present))
    }


def incomplete(tensors: Mapping[str, Tensor]) -> list[Notice]:
    """What is to be said of tensors that miss some of their slices: one notice, or none."""
    return _said("only some slices of these tensors are in the file", lacking(tensors))


def left_out(tensors: Mapping[str, PartitionedTensor], target: str) -> list[Notice]:
    """What is to be said of such tensors where a target of that format takes whole ones only."""
    count = f"{len(tensors)} tensor{'s' * (len(tensors) > 1)}"
    return _said(f"{count} left out of {target}, since only some slices are in the source", tensors)


def _said(detail: str, tensors: Mapping[str, PartitionedTensor]) -> list[Notice]:
    found = (
        (tensor.name, f"{tensor.present} of {tensor.size} elements: {_there(tensor)}") for tensor in tensors.values()
    )
    names = tuple(f"{name} ({said})" for name, said in found)
    return [TensorsIncomplete(detail, names)] if names else []


def _there(tensor: PartitionedTensor) -> str:
    """The slices that are there, as Python writes them."""
    boxes = ("[" + ", ".join(f"{along.start}:{along.stop}" for along in part.box) + "]" for part in tensor.parts)
    return listed(list(boxes), _MOST_SHOWN) or "none"
