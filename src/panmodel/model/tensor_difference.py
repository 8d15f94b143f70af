"""How far two tensors are apart, told from pieces of both: neither is ever held whole where it can be streamed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import TYPE_CHECKING

from panmodel.dtypes import STRING, from_numpy
from panmodel.errors import UsageError
from panmodel.model.comparison import Change, TensorForm
from panmodel.model.tensor import Tensor, unpack

if TYPE_CHECKING:
    import numpy as np

_ELEMENTS = 1 << 18  # of one piece; a multiple of 8, so that it ends with a byte for every type


def require_tolerances(rtol: float, atol: float) -> None:
    """Refuse tolerances that nothing can be within.

    Raises:
        UsageError: One is negative, or no number.
    """
    given: dict[str, object] = {"rtol": rtol, "atol": atol}  # from Python it may be anything
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise UsageError(f"{name} is {value!r}, a tolerance is a number")
        if not float(value) >= 0:
            raise UsageError(f"{name} is {value}, a tolerance is 0 or more")


def form(tensor: Tensor) -> TensorForm:
    """Type and shape of a tensor."""
    return TensorForm(tensor.dtype.name, tensor.shape)


def difference(name: str, a: Tensor, b: Tensor, rtol: float = 0.0, atol: float = 0.0) -> Change | None:
    """Compare two tensors.

    Args:
        name: What to call them.
        a: The one.
        b: The other, which relative differences refer to.
        rtol: Relative tolerance.
        atol: Absolute tolerance.

    Returns:
        None if they are bit for bit the same.

    Raises:
        CorruptError: A tensor does not meet its checksum.
    """
    change = Change(name, form(a), form(b))
    if a.shape != b.shape or (a.dtype is STRING) != (b.dtype is STRING):
        return change
    if a.dtype is STRING:
        unlike = sum(x != y for x, y in zip(_texts(a), _texts(b), strict=True))
        return Change(name, form(a), form(b), differing=unlike) if unlike else None
    if a.dtype is b.dtype and _same_bits(a, b):
        return None
    totals = _Totals(rtol, atol)
    for x, y in _pairs(a, b):
        totals.add(unpack(x, a.dtype, (_count(x, a),)), unpack(y, b.dtype, (_count(y, b),)), exact=a.dtype is b.dtype)
    return totals.change(change)


def digest(tensor: Tensor) -> bytes:
    """A hash of the content of a tensor; equal where the contents are equal, type and shape left aside."""
    running = hashlib.blake2b(digest_size=32)
    if tensor.dtype is STRING:
        for text in _texts(tensor):
            running.update(len(text).to_bytes(8, "little") + text)
    else:
        for piece in tensor.chunks():
            running.update(piece)
    return running.digest()


def _same_bits(a: Tensor, b: Tensor) -> bool:
    import numpy as np

    return all(np.array_equal(x, y) for x, y in _pairs(a, b))


def _pairs(a: Tensor, b: Tensor) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The bytes of both in pieces of the same elements."""
    return zip(_runs(a), _runs(b), strict=True)


def _runs(tensor: Tensor) -> Iterator[np.ndarray]:
    """The bytes of a tensor in pieces of `_ELEMENTS`, the last one shorter; each is valid until the next."""
    import numpy as np

    step = _ELEMENTS * tensor.dtype.bits // 8
    buffer, filled = np.empty(min(step, tensor.nbytes), np.uint8), 0
    for piece in tensor.chunks(step):
        rest = np.frombuffer(piece, np.uint8)
        if len(rest) == step and not filled:
            yield rest
            continue
        while len(rest):
            taken = rest[: step - filled]
            buffer[filled : filled + len(taken)] = taken
            filled, rest = filled + len(taken), rest[len(taken) :]
            if filled == step:
                yield buffer
                filled = 0
    if filled:
        yield buffer[:filled]


def _count(piece: np.ndarray, tensor: Tensor) -> int:
    """Elements in a piece; only that of a whole tensor can end within a byte."""
    return min(len(piece) * 8 // tensor.dtype.bits, tensor.size)


def _texts(tensor: Tensor) -> list[bytes]:
    items = tensor.numpy().reshape(-1).tolist()
    return [item.encode("utf-8", "surrogatepass") if isinstance(item, str) else bytes(item) for item in items]


@dataclass(slots=True)
class _Totals:
    """Sums and extremes over the pieces that came so far."""

    rtol: float
    atol: float
    differing: int = 0
    bitwise: int = 0
    nans: int = 0
    outside: int = 0
    largest: float = 0.0
    relative: float = 0.0
    product: float = 0.0
    square_a: float = 0.0
    square_b: float = 0.0

    def add(self, a: np.ndarray, b: np.ndarray, *, exact: bool) -> None:
        """Take the next elements.

        Args:
            a: Elements of the one.
            b: Elements of the other.
            exact: Both are of one type: bits can be compared, and integers are subtracted as such.
        """
        import numpy as np

        whole = exact and is_whole(a.dtype)
        x, y = widened(a, b)
        with np.errstate(all="ignore"):
            gap = integer_gap(a, b) if whole else np.abs(np.where(x == y, 0, x - y))
            lone = np.isnan(x) != np.isnan(y)
            gap = np.where(np.isnan(x) | np.isnan(y), 0, gap)
            self._extremes(gap, np.abs(y), lone)
            both = np.isfinite(x) & np.isfinite(y)
            x, y = np.where(both, x, 0), np.where(both, y, 0)
            self.product += float(np.vdot(x, y).real)
            self.square_a += float(np.vdot(x, x).real)
            self.square_b += float(np.vdot(y, y).real)
        if exact:
            self.bitwise += int((_unlike_bits(a, b) & (gap == 0) & ~lone).sum())

    def _extremes(self, gap: np.ndarray, size: np.ndarray, lone: np.ndarray) -> None:
        import numpy as np

        apart = gap > 0
        near = np.isfinite(gap) & (gap <= self.atol + self.rtol * size)
        self.nans += int(lone.sum())
        self.differing += int(apart.sum()) + int(lone.sum())
        self.outside += int((apart & ~near).sum()) + int(lone.sum())
        self.largest = max(self.largest, gap.max(initial=0).item())
        ratio = gap[apart & (size > 0)] / size[apart & (size > 0)]  # infinity over infinity is as far as it gets
        self.relative = max(self.relative, float(np.where(np.isnan(ratio), np.inf, ratio).max(initial=0.0)))

    def change(self, start: Change) -> Change | None:
        """What came out; None if every bit is the same."""
        if not (self.differing or self.bitwise) and start.before == start.after:
            return None
        norms = math.sqrt(self.square_a) * math.sqrt(self.square_b)
        told = 0 < norms < math.inf and math.isfinite(self.product)
        tolerated = self.outside == 0 and (self.bitwise == 0 or bool(self.rtol or self.atol))
        return Change(
            start.name,
            start.before,
            start.after,
            differing=self.differing,
            bitwise=self.bitwise,
            nans=self.nans,
            max_absolute=self.largest,
            max_relative=self.relative,
            cosine=max(-1.0, min(1.0, self.product / norms)) if told else None,
            within=tolerated and start.before == start.after,
        )


def widened(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64, or complex128 if one is complex."""
    import numpy as np

    wide = np.complex128 if "c" in (from_numpy(a.dtype).kind, from_numpy(b.dtype).kind) else np.float64
    return a.astype(wide), b.astype(wide)


@lru_cache(256)
def is_whole(dtype: np.dtype[np.generic]) -> bool:
    """Whether its elements are integers or truth values; numpy itself does not know those of less than a byte."""
    return dtype.kind in "iub" or dtype.name in ("int4", "uint4", "int2", "uint2")


def integer_gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a - b| of integers, exact over their whole range."""
    import numpy as np

    longs = [array.dtype.kind == "u" and array.dtype.itemsize == 8 for array in (a, b)]
    if any(longs) and not all(longs):
        return _gap_of_signs(a, b) if longs[0] else _gap_of_signs(b, a)
    wide = np.uint64 if all(longs) else np.int64
    x, y = a.astype(wide), b.astype(wide)
    with np.errstate(over="ignore"):  # which numpy only minds in arrays without dimensions
        up, down = x.view(np.uint64) - y.view(np.uint64), y.view(np.uint64) - x.view(np.uint64)
    return np.where(x > y, up, down)


def _gap_of_signs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The same of uint64 and a type that ends below; as float64, since the sum of both may be beyond uint64."""
    import numpy as np

    signed = b.astype(np.int64)
    gap = integer_gap(a, np.maximum(signed, 0).astype(np.uint64))
    return gap.astype(np.float64) + np.maximum(-signed.astype(np.float64), 0)


def _unlike_bits(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    import numpy as np

    width = a.dtype.itemsize
    unit = np.dtype(f"u{min(width, 8)}") if width in (1, 2, 4, 8, 16) else np.dtype("u1")
    x, y = (np.ascontiguousarray(array).view(unit).reshape(len(array), -1) for array in (a, b))
    found: np.ndarray = (x != y).any(axis=1)
    return found
