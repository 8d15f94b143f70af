"""Damage to files: what a reader must survive.

Cut anywhere or with any byte changed, a file is read rightly or refused by a `PanmodelError`; nothing else comes out,
and it does not take long.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from panmodel.errors import PanmodelError

SLOW = 5.0  # seconds for one damaged file; all that is fit for these tests reads in milliseconds


def assert_survives(
    read_all: Callable[[Path], object],
    path: Path,
    *,
    cuts: int = 300,
    flips: int = 2000,
    seed: int = 0,
    exact: bool = False,
) -> None:
    """Damage copies of a file and read each.

    Args:
        read_all: Reads the file at a path and loads every tensor of it. It is handed copies under the same name, with
            copies of the undamaged files beside it.
        path: The file. Its folder holds nothing but the model.
        cuts: Number of places to cut at, spread evenly.
        flips: Number of random bytes to change, one in each copy.
        seed: Of the random choices.
        exact: The format has checksums: what is read from a copy must equal what is read from the original.
    """
    whole = path.read_bytes()
    right = read_all(path)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model"
        shutil.copytree(path.parent, copy)
        target = copy / path.name
        for label, damaged in _mutants(whole, cuts, flips, random.Random(seed)):
            target.write_bytes(damaged)
            begin = time.process_time()
            try:
                found = read_all(target)
            except PanmodelError:
                pass
            except Exception as error:
                raise AssertionError(f"{path.name}, {label}: {type(error).__name__}: {error}") from error
            else:
                assert not exact or _same(found, right), f"{path.name}, {label}: read without a complaint, and wrongly"
            assert time.process_time() - begin < SLOW, f"{path.name}, {label}: took over {SLOW} s"


def _mutants(whole: bytes, cuts: int, flips: int, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    for place in sorted({len(whole) * step // cuts for step in range(cuts)}):
        yield f"cut at {place}", whole[:place]
    for _ in range(flips):
        place, change = chance.randrange(len(whole)), chance.randrange(1, 256)
        yield f"byte {place} xor {change}", whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :]


def _same(found: object, right: object) -> bool:
    if isinstance(found, dict) and isinstance(right, dict):
        return found.keys() == right.keys() and all(_same(found[key], right[key]) for key in right)
    return found == right


def contents_of(model: object) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Every tensor of a model as dtype, shape and bytes, read now; what `read_all` may return."""
    tensors = model.tensors  # type: ignore[attr-defined]
    return {
        name: (tensor.dtype.name, tensor.shape, b"".join(bytes(piece) for piece in tensor.chunks()))
        for name, tensor in tensors.items()
    }
