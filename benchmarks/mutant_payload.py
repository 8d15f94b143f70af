"""Single bits of payload, flipped wherever a checksum is over it: each has to be found, and its tensor named."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from mutant_reading import content_of, in_child, lay_out

from panmodel.errors import PanmodelError
from panmodel.formats import registry
from panmodel.io.source import Extent, FileSource, Location, PartSource
from panmodel.model.model import Model
from panmodel.model.tensor import Tensor

if TYPE_CHECKING:
    from mutants import Run, Seed


NAMED, REFUSED = "named", "refused as a whole"


def flip_payload(run: Run, count: int) -> tuple[Counter[str], int]:
    """Flip single bits of payload under checksums.

    Returns:
        How often the tensor was named, and the file refused as a whole; and how often it went otherwise.
    """
    reader, writer = os.pipe()
    process = in_child(lambda: os.write(writer, json.dumps(_flip_all(run, count)).encode()))
    os.close(writer)
    with open(reader, "rb") as stream:
        told = stream.read()
    os.waitpid(process, 0)
    if not told:
        return Counter(), 1
    counts = Counter(json.loads(told))
    return counts, sum(counts.values()) - counts[NAMED] - counts[REFUSED]


def _flip_all(run: Run, count: int) -> Counter[str]:
    place, counts = run.work / "payload", Counter[str]()
    places, stored_names = [], {}
    for seed in run.seeds.values():
        lay_out(seed, place / seed.name)
        if seed.checked or seed.payload:
            model = registry()[run.name].read(Location(place / seed.name / seed.target))  # type: ignore[misc]
            stored_names[seed.name] = {name: tensor.name for name, tensor in model.tensors.items()}
            places += [(seed, *where) for where in _payload(model, seed, place / seed.name)]
    for number in range(count if places else 0):
        chance = Random(f"{run.args.seed} {run.name} payload {number}")
        seed, name, file, begin, nbytes = chance.choice(places)
        data = bytearray(seed.files[file])
        data[begin + chance.randrange(nbytes)] ^= 1 << chance.randrange(8)
        path = place / seed.name / file
        path.write_bytes(data)
        said = _verdict(run, place / seed.name / seed.target, name, stored_names[seed.name].get(name, name))
        path.write_bytes(seed.files[file])
        counts[said if said in (NAMED, REFUSED) else "missed"] += 1
        if said not in (NAMED, REFUSED):
            keep = run.folder / run.name / f"payload-{seed.name}-{said[:9].replace(' ', '_')}"
            keep.mkdir(parents=True, exist_ok=True)
            what = f"payload {number}: {seed.name}: {file}, tensor {name!r}: {said}\n"
            (keep / "what.txt").write_text(what, errors="replace")
    return counts


def _payload(model: Model, seed: Seed, folder: Path) -> list[tuple[str, str, int, int]]:
    """Tensor, file, offset and bytes of what is stored in files under checksums."""
    found = [(name, *where) for name, where in seed.payload.items()]
    for name, tensor in model.tensors.items():
        found += [(name, *place) for place in _stored(tensor, seed, folder)]
    return found


def _stored(tensor: Tensor, seed: Seed, folder: Path) -> list[tuple[str, int, int]]:
    """File, offset and bytes of a tensor: as it says, or where a checked file has the same bytes, and once only."""
    extent = tensor.extent
    for file in seed.checked:
        if extent is not None and extent.nbytes and str(folder / file) in extent.source.name:
            offset = _offset_in_file(extent)
            return [] if offset is None else [(file, offset, extent.nbytes)]
    try:
        content = content_of(tensor)[2]
    except PanmodelError:
        return []
    if extent is not None or not isinstance(content, bytes) or len(content) < 12:
        return []
    return [(f, seed.files[f].index(content), len(content)) for f in seed.checked if seed.files[f].count(content) == 1]


def _offset_in_file(extent: Extent) -> int | None:
    """None for what was decompressed: it lies nowhere as it is."""
    source, offset = extent.source, extent.offset
    while isinstance(source, PartSource):
        source, offset = source._whole, offset + source._begin
    return offset if isinstance(source, FileSource) else None


def _verdict(run: Run, path: Path, name: str, stored_name: str) -> str:
    """How reading a tensor ends: it should be in an error that names it, as its file does."""
    try:
        model = registry()[run.name].read(Location(path))  # type: ignore[misc]
    except PanmodelError as error:
        return NAMED if name in str(error) or stored_name in str(error) else REFUSED
    try:
        content_of(model.tensors[name])
    except PanmodelError as error:
        return NAMED if name in str(error) or stored_name in str(error) else f"not named: {error}"
    return "not found"
