"""What two models are run on: seeded random arrays, or arrays from files."""

from __future__ import annotations

import errno
import os
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

from panmodel import dtypes
from panmodel.errors import CorruptError, LimitError, MissingFileError, UsageError, listed
from panmodel.model.graph import Value
from panmodel.model.symbolic import Dim

if TYPE_CHECKING:
    import numpy as np

#: What numpy and zipfile raise on files that are not what they should be.
_MALFORMED = (ValueError, EOFError, LookupError, TypeError, SyntaxError, ArithmeticError, RuntimeError)

#: What a size becomes that the model leaves open: the batch, and any other.
BATCH, EXTENT = 2, 16


def path_of(given: str | os.PathLike[str]) -> Path:
    """What a caller from Python gave as a path, as one.

    Raises:
        UsageError: It is none.
    """
    try:
        return Path(given)
    except TypeError:
        raise UsageError(f"a path is text, not {given!r}"[:200]) from None


def load(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Arrays of an .npz file, or the one of an .npy file under the name "".

    Raises:
        CorruptError: The file is neither, or holds pickled objects.
    """
    import numpy as np

    if not path_of(path).is_file():
        raise MissingFileError("there is no such file", where=str(path))
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return {"": found}
        with found:
            arrays = {name: found[name] for name in found.files}
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise CorruptError("its parts do not lie within it", where=str(path)) from None
    except MemoryError:
        raise LimitError("holds arrays larger than the memory", where=str(path)) from None
    except (*_MALFORMED, zlib.error, zipfile.BadZipFile, tokenize.TokenError) as error:
        raise CorruptError(f"is no .npy or .npz file of plain arrays: {error}", where=str(path)) from None
    if others := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise CorruptError(f"is no .npz file of arrays alone: it has {listed(others)}", where=str(path))
    return arrays


def load_one(path: str | os.PathLike[str]) -> np.ndarray:
    """The array of a file that has one.

    Raises:
        CorruptError: The file has no arrays.
        UsageError: It has several, or none.
    """
    arrays = load(path)
    if len(arrays) != 1:
        hint = "--inputs takes all arrays of an .npz file by their names"
        raise UsageError(f"holds {len(arrays)} arrays, and one is to be the input", where=str(path), hint=hint)
    return next(iter(arrays.values()))


def require_names(given: Mapping[str, np.ndarray]) -> None:
    """Refuse arrays by anything but names.

    Raises:
        UsageError: There is one.
    """
    for name in given:
        if not isinstance(name, str):
            raise UsageError(f"inputs are given by name, not by {name!r}"[:200])


def random_inputs(inputs: Sequence[Value], seed: int) -> dict[str, np.ndarray]:
    """Arrays that fit the inputs of a graph, the same for the same seed.

    Floats are normal, integers 0 or 1 (so that they are indices into anything), sizes left open `BATCH` or `EXTENT`.

    Raises:
        UsageError: The rank of an input is unknown, or it holds strings; the seed is negative or no whole number.
    """
    import numpy as np

    _require_seed(seed)
    generator = np.random.default_rng(seed)
    sizes: dict[str, int] = {}
    found = {}
    for value in inputs:
        hint = f"give it with --input {value.name}=file.npy"
        if value.shape is None or value.dtype is None or value.dtype is dtypes.STRING:
            raise UsageError(f"input {value.name!r} cannot be made up: its shape or type is open", hint=hint)
        shape = tuple(_size(size, axis, sizes) for axis, size in enumerate(value.shape))
        if value.dtype.kind in "fc":
            array = generator.standard_normal(shape).astype(value.dtype.numpy)
        else:
            array = generator.integers(0, 2, shape).astype(value.dtype.numpy)
        found[value.name] = array
    return found


def _require_seed(seed: object) -> None:
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise UsageError(f"the seed is {seed!r}, a seed is a whole number")
    if seed < 0:
        raise UsageError(f"the seed is {seed}, a seed is 0 or more")


def _size(size: int | Dim, axis: int, sizes: dict[str, int]) -> int:
    if isinstance(size, int):
        return size
    return sizes.setdefault(str(size), BATCH if axis == 0 else EXTENT)


def describe(feeds: Mapping[str, np.ndarray], seed: int) -> str:
    """Random inputs in words."""
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in feeds.items())
    return f"random inputs (seed {seed}): {shapes}"
