"""The data files of PyTorch's distributed checkpoints: files of torch.save, one behind the other.

Where each begins says the `.metadata` beside them. Only if the parts that it names are the whole file is it looked at
in parts; any other file is what its bytes are.

Source: torch/distributed/checkpoint/filesystem.py
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from panmodel.errors import PanmodelError
from panmodel.io.source import Extent, FileSource, MemorySource, PartSource, Source
from panmodel.model.scanner import Scanner, Subject
from panmodel.wire.torch_distributed import Blob, TensorEntry, read_metadata

_METADATA = ".metadata"
_SMALL = 1 << 16  # bytes of a part that is read once, since every scanner looks into it


def parts_of(subject: Subject) -> tuple[Blob, ...]:
    """The parts of a data file, in order; none if it is no such file, or they are not the whole of it."""
    if subject.path is None or subject.path.name == _METADATA:
        return ()
    metadata = subject.path.with_name(_METADATA)
    try:
        found = metadata.stat()
        parts = _parts(metadata, found.st_size, found.st_mtime_ns).get(subject.path.name, ())
    except (PanmodelError, OSError):
        return ()
    end = 0
    for part in parts:
        if part.offset != end:
            return ()
        end += part.nbytes
    return parts if end == subject.source.size else ()


@lru_cache(maxsize=2)
def _parts(metadata: Path, size: int, changed: int) -> dict[str, tuple[Blob, ...]]:
    """File → its parts, as the metadata of a size, changed at a time, says."""
    found: dict[str, set[Blob]] = {}
    for entry in read_metadata(FileSource(metadata)).entries.values():
        blobs = [chunk.blob for chunk in entry.chunks] if isinstance(entry, TensorEntry) else [entry]
        for blob in blobs:
            if blob is not None:
                found.setdefault(blob.file, set()).add(blob)
    return {file: tuple(sorted(blobs, key=lambda blob: blob.offset)) for file, blobs in found.items()}


def recognises(subject: Subject) -> bool:
    """Whether the metadata beside it says that it is one, from its first byte to its last."""
    return bool(parts_of(subject))


def scan(subject: Subject) -> None:
    """Look at every part as at a file."""
    for part in parts_of(subject):
        subject.inside(_content(subject.source, part), f"part at {part.offset}")


def _content(file: Source, part: Blob) -> Source:
    extent, title = Extent(file, part.offset, part.nbytes), f"{file.name} at offset {part.offset}"
    return MemorySource(extent.read(), title) if part.nbytes <= _SMALL else PartSource(extent, title)


SCANNER = Scanner("distributed checkpoint", recognises, scan)
