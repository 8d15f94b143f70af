"""numpy's .npz: named arrays, a zip archive of .npy files.

Source: https://numpy.org/doc/stable/reference/generated/numpy.savez.html
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from urllib.parse import quote

from panmodel.errors import CorruptError, PanmodelError, UnsafeError, UnsupportedError
from panmodel.io.sink import Sink
from panmodel.io.source import Extent, Location
from panmodel.limits import DEFAULT
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.model.notice import Notice, TensorsIncomplete
from panmodel.model.tensor import Checksum, Tensor
from panmodel.wire import npy
from panmodel.wire.zip import Archive, first_name, is_zip
from panmodel.wire.zip_directory import END, END_RECORD

_SUFFIX = ".npy"
#: Slots that are all zeros deflate as far as deflate can: 1032 to 1. Nothing is inflated but what is asked for.
_LIMITS = replace(DEFAULT, member_ratio=1100)
_USUAL_HEADER = 256  # bytes
_LONGEST_NAME = 60_000  # what fits into 16 bits of length, with room for the suffix


def sniff(location: Location) -> bool:
    """Whether it is a zip archive of nothing but .npy files, and folders. Of a damaged one the first member tells."""
    head = location.head(END_RECORD.size)
    if head.startswith(END):
        return location.open().size == END_RECORD.size  # an archive of no arrays at all
    if not is_zip(head):
        return False
    source = location.open()
    try:
        files = [name for name in location.once(Archive).members if not name.endswith("/")]
        return bool(files) and all(name.endswith(_SUFFIX) for name in files)
    except PanmodelError:
        return first_name(source).endswith(_SUFFIX)


def read(location: Location) -> Model:
    """Open an archive; only its directory and the headers of its arrays are read.

    Arrays of pickled objects, and of elements that no model has, are left out where there are others.

    Raises:
        CorruptError: The archive or a header breaks a rule of its format.
        UnsafeError: The arrays are made of pickled objects.
        UnsupportedError: They have elements of a type that no model has.
    """
    from panmodel.model.numpy.reading import assumptions
    from panmodel.model.structure import training_told

    archive, where = Archive(location.open(), limits=_LIMITS), str(location)
    tensors: dict[str, Tensor] = {}
    headers: list[tuple[str, npy.Header]] = []
    refused: dict[str, PanmodelError] = {}
    for member, found in archive.members.items():
        if member.endswith("/") and not found.size:  # a folder, which archivers put down before what is in it
            continue
        try:
            header, tensor = _tensor(archive, member, where)
        except (UnsafeError, UnsupportedError) as error:
            for _ in archive.chunks(member):  # that it is so, and not by damage, its checksum says
                pass
            refused[member.removesuffix(_SUFFIX)] = error
            continue
        if tensor.name in tensors:
            raise CorruptError(f"two arrays have the name {tensor.name!r}", where=where)
        tensors[tensor.name] = tensor
        headers.append((tensor.name, header))
    if refused and not tensors:
        raise next(iter(refused.values()))
    notices = [*assumptions(headers), *_left_out(refused)]
    return Model(FORMAT.name, tensors=tensors, training=training_told(tensors, None), notices=notices, source=where)


def _left_out(refused: Mapping[str, PanmodelError]) -> list[Notice]:
    names: dict[str, list[str]] = {}
    for name, error in refused.items():
        names.setdefault(error.message, []).append(name)
    return [TensorsIncomplete(f"left out: {message}", tuple(those)) for message, those in names.items()]


def write(model: Model, sink: Sink) -> None:
    """Write the model's tensors, stored as they are and aligned, under names that come back.

    Raises:
        UnsupportedError: numpy has no arrays for some of them.
    """
    from panmodel.model.numpy.writing import array_of, require_writable
    from panmodel.wire.zip_writer import ArchiveWriter

    require_writable(model.tensors, str(sink.target))
    staged = sink.open()
    archive = ArchiveWriter(staged)
    for (name, tensor), member in zip(model.tensors.items(), _member_names(model.tensors), strict=True):
        array = array_of(tensor, name if member != name + _SUFFIX else None)
        archive.add(member, array.pieces(), array.nbytes)
    archive.close()


def _tensor(archive: Archive, member: str, where: str) -> tuple[npy.Header, Tensor]:
    from panmodel.model.numpy.reading import tensor_of

    if not member.endswith(_SUFFIX):
        raise UnsupportedError(f"member {member!r} is no array", where=where)
    inside = f"{where}, member {member!r}"
    head = _head(archive, member)
    header = npy.read_header(head, inside)
    found, size = archive.members[member], header.begin + header.nbytes
    if found.size != size:
        message = f"{found.size} bytes stored, {header.descr}{list(header.shape)} with its header needs {size}"
        raise CorruptError(message, where=inside)
    name = header.extra.get("name", member.removesuffix(_SUFFIX))
    extent = archive.extent(member)
    before = memoryview(head[: header.begin])

    def checksum() -> Checksum:
        running = archive.running(member)
        running.update(before)
        return running

    def content() -> Iterator[memoryview]:
        return _behind(archive.chunks(member), header.begin)

    elements = Extent(archive.source, extent.offset + header.begin, header.nbytes) if extent else None
    return header, tensor_of(name, header, content, inside, extent=elements, checksum=checksum)


def _head(archive: Archive, member: str) -> bytes:
    """The beginning of a member, as far as its header can reach."""
    first = archive.head(member, _USUAL_HEADER)
    announced = int.from_bytes(first[8:10], "little") if first[6:7] == b"\x01" else npy.LONGEST
    return first if announced + 10 <= len(first) else archive.head(member, npy.AHEAD)


def _behind(pieces: Iterator[memoryview], nbytes: int) -> Iterator[memoryview]:
    """What follows the first bytes."""
    for piece in pieces:
        skipped = min(nbytes, len(piece))
        nbytes -= skipped
        if skipped < len(piece):
            yield piece[skipped:]


def _member_names(names: Iterable[str]) -> list[str]:
    """Names of members: those of the tensors where an archive may have them, else quoted ones."""
    names = list(names)
    plain = {_as_others_see(name) for name in names}
    found: list[str] = []
    seen: set[str] = set()
    for name in names:
        member, key = name, _as_others_see(name)
        if key in seen or not _is_member_name(name):
            member = quote(name[:200], safe="", errors="surrogatepass").replace(".", "%2E")
            while (key := _as_others_see(member)) in seen or key in plain:
                member += "~"
        seen.add(key)
        found.append(member + _SUFFIX)
    return found


def _as_others_see(name: str) -> str:
    """What a name is on file systems that do not tell ways of writing a letter apart."""
    return unicodedata.normalize("NFC", name)


def _is_member_name(name: str) -> bool:
    """Whether an archive can have the name with the suffix, and be read anywhere."""
    parts = f"{name}{_SUFFIX}".split("/")
    if "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in parts) or parts[0].endswith(":"):
        return False
    try:
        return len(name.encode()) < _LONGEST_NAME
    except UnicodeEncodeError:
        return False


def _remarks(model: Model, _: str) -> list[Notice]:
    from panmodel.model.numpy.writing import remarks

    return remarks(model.tensors.values())


FORMAT = Format(
    name="npz",
    summary="numpy .npz: named arrays",
    extensions=(".npz",),
    spec="https://numpy.org/doc/stable/reference/generated/numpy.savez.html",
    holds=Holds.WEIGHTS | Holds.TRAINING,
    sniff=sniff,
    read=read,
    write=write,
    remarks=_remarks,
    keeps_ties=False,
)
