"""Where bytes come from: bounded positional reads, and the files beside the one that was named.

A reader of a format is handed a `Source`, never a path: it cannot reach a file that the source does not let it reach.
"""

from __future__ import annotations

import errno
import os
import stat
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar, cast

from panmodel.errors import MissingFileError, ReadError, TruncatedError, UnsafeError
from panmodel.io.cache import dont_need, is_cached
from panmodel.io.descriptors import HINT, open_file

CHUNK = 4 << 20  # large enough to move at the speed of the disk, small enough to stay in the processor's cache
_LARGE = 1 << 20  # bytes of a read that are worth a look at the page cache
_BEHIND = 16 << 20  # bytes that stay in memory behind the reading


Made = TypeVar("Made")


class Source:
    """A run of bytes that can be read at any place.

    Attributes:
        name: What to call it in messages.
        size: Bytes in all.
    """

    name: str
    size: int

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the buffer with the bytes from `offset` on.

        Raises:
            TruncatedError: The source ends before the buffer does.
        """
        raise NotImplementedError

    def read(self, offset: int, nbytes: int) -> bytes:
        """Read exactly `nbytes` bytes at `offset`; nothing is allocated before both are known to lie inside.

        Raises:
            TruncatedError: They do not lie inside the source.
        """
        self.check(offset, nbytes)
        buffer = bytearray(nbytes)
        self.readinto(offset, buffer)
        return bytes(buffer)

    def check(self, offset: int, nbytes: int) -> None:
        """Raise TruncatedError unless `nbytes` bytes lie at `offset`."""
        if offset < 0 or nbytes < 0 or offset + nbytes > self.size:
            message = f"the file ends at byte {self.size}, but {nbytes} bytes are expected at offset {offset}"
            raise TruncatedError(message, where=self.name, hint="the file is cut short or damaged: fetch it again")

    def chunks(self, offset: int, nbytes: int, chunk: int = CHUNK) -> Iterator[memoryview]:
        """Yield `nbytes` bytes from `offset` on in pieces; a piece is valid until the next one is asked for."""
        self.check(offset, nbytes)
        buffer = memoryview(bytearray(min(chunk, nbytes)))
        while nbytes:
            piece = buffer[: min(chunk, nbytes)]
            self.readinto(offset, piece)
            yield piece
            offset += len(piece)
            nbytes -= len(piece)


class MemorySource(Source):
    """Bytes in memory; `name` and `base` say in messages where they came from."""

    def __init__(self, data: bytes | bytearray | memoryview, name: str = "memory") -> None:
        self._data = memoryview(data).cast("B")
        self.name = name
        self.size = len(self._data)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """See `Source.readinto`."""
        self.check(offset, len(buffer))
        buffer[:] = self._data[offset : offset + len(buffer)]

    def read(self, offset: int, nbytes: int) -> bytes:
        """See `Source.read`."""
        self.check(offset, nbytes)
        return bytes(self._data[offset : offset + nbytes])


class PartSource(Source):
    """A run of bytes inside another source: a file that is stored in an archive as it is.

    Args:
        extent: Where it lies.
        name: What to call it in messages.
    """

    def __init__(self, extent: Extent, name: str) -> None:
        extent.source.check(extent.offset, extent.nbytes)
        self._whole, self._begin = extent.source, extent.offset
        self.name, self.size = name, extent.nbytes

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """See `Source.readinto`."""
        self.check(offset, len(buffer))
        self._whole.readinto(self._begin + offset, buffer)


class FileSource(Source):
    """A file on disk, opened once and read by position, so that threads may share it."""

    def __init__(self, path: str | os.PathLike[str], *, follow_links: bool = True) -> None:
        self.path = Path(path)
        self.name = str(path)
        try:
            # a pipe must not be waited for, only to be refused
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW)
            descriptor = open_file(path, flags)
        except OSError as error:
            if error.errno == errno.EMFILE:
                raise ReadError(f"cannot be opened: {error.strerror}", where=self.name, hint=HINT) from error
            if error.errno not in _NOTHING_THERE:
                raise
            raise MissingFileError("there is no such file", where=self.name) from None
        self._close = weakref.finalize(self, os.close, descriptor)
        self._descriptor = descriptor
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            self._close()
            raise UnsafeError("not a regular file", where=self.name)
        self.size = status.st_size
        self._is_cold: bool | None = None
        self._kept = 0  # where what was read and is still in memory begins
        self.identity = (status.st_dev, status.st_ino)
        for watch in _WATCHES.get():
            watch.add(self)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """See `Source.readinto`."""
        self.check(offset, len(buffer))
        view = memoryview(buffer)
        while view:
            count = os.preadv(self._descriptor, [view], offset)
            if count == 0:  # somebody cut the file while it was read
                self.size = os.fstat(self._descriptor).st_size
                self.check(offset, len(view))
            offset += count
            view = view[count:]

    def read(self, offset: int, nbytes: int) -> bytes:
        """See `Source.read`."""
        self.check(offset, nbytes)
        data = os.pread(self._descriptor, nbytes, offset)
        return data if len(data) == nbytes else super().read(offset, nbytes)  # in pieces, or cut meanwhile

    def chunks(self, offset: int, nbytes: int, chunk: int = CHUNK) -> Iterator[memoryview]:
        """See `Source.chunks`. A file that was not in memory before is not left there."""
        if nbytes < _LARGE:
            yield from super().chunks(offset, nbytes, chunk)
            return
        if self._is_cold is None:
            self._is_cold = not is_cached(self._descriptor, self.size)
        for piece in super().chunks(offset, nbytes, chunk):
            yield piece
            offset += len(piece)
            if self._is_cold:
                self._give_back(offset - len(piece), offset)

    def _give_back(self, begin: int, end: int) -> None:
        """Drop what was read from memory, some way behind the reading and in large steps, which cost the least."""
        if not self._kept <= begin <= self._kept + 2 * _BEHIND:
            self._kept = begin
        if end - self._kept >= 2 * _BEHIND:
            dont_need(self._descriptor, self._kept, end - _BEHIND - self._kept)
            self._kept = end - _BEHIND

    def fileno(self) -> int:
        """The file descriptor, for copies that the kernel does by itself."""
        return self._descriptor


class Watch:
    """The files that were opened while something was read, by their names."""

    def __init__(self) -> None:
        self._opened: dict[Path, set[tuple[int, int]]] = {}
        self._sources: weakref.WeakSet[FileSource] = weakref.WeakSet()

    def add(self, source: FileSource) -> None:
        """Take note of a file."""
        self._opened.setdefault(source.path, set()).add(source.identity)
        self._sources.add(source)

    @property
    def held(self) -> frozenset[tuple[int, int]]:
        """The files that are open still, since more is to be read from them: the device and number of each."""
        return frozenset(source.identity for source in self._sources)

    def are_replaced(self) -> bool:
        """Whether a name leads to another file by now, or to none.

        If not, then all of them were in their places at the moment when the last one was opened.
        """
        return any(identities != {_identity(path)} for path, identities in self._opened.items())


#: What the system says of names under which nothing is, those among them that are longer than a name can be.
_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


def _mode(path: Path, *, follow_links: bool = True) -> int:
    """Of what kind a file is; 0 if there is none. A file may state any name, also one that no file can have."""
    try:
        return path.stat(follow_symlinks=follow_links).st_mode
    except OSError as error:
        if error.errno not in (*_NOTHING_THERE, errno.ELOOP):
            raise
        return 0
    except ValueError:  # a name with a zero byte
        return 0


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


_WATCHES: ContextVar[tuple[Watch, ...]] = ContextVar("watches", default=())


@contextmanager
def watched() -> Iterator[Watch]:
    """Take note of every file that is opened within; who does so around it takes note too."""
    watch = Watch()
    token = _WATCHES.set((*_WATCHES.get(), watch))
    try:
        yield watch
    finally:
        _WATCHES.reset(token)


@dataclass(frozen=True, slots=True)
class Extent:
    """`nbytes` bytes at `offset` of `source`."""

    source: Source
    offset: int
    nbytes: int

    def read(self) -> bytes:
        """All of its bytes."""
        return self.source.read(self.offset, self.nbytes)


class Location:
    """What the user named: a file, a folder, or the common prefix of several files that is no file itself.

    Formats look at the content through it. The files around the named one are reached by `beside` (names that the
    format itself makes up) or `contained` (names that come from a file and are not to be believed).
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._made: dict[object, object] = {}

    def once(self, make: Callable[[FileSource], Made]) -> Made:
        """What a function makes of the opened file, made once: several formats look at the directory of an archive.

        Raises:
            ReadError: What the function raises, every time.
        """
        if make not in self._made:
            try:
                self._made[make] = make(self.open())
            except ReadError as error:
                self._made[make] = error
        found = self._made[make]
        if isinstance(found, ReadError):
            raise found
        return cast("Made", found)

    def __str__(self) -> str:
        return str(self.path)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(_mode(self.path))

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(_mode(self.path))

    @property
    def folder(self) -> Path:
        """The folder that the model lives in: the named folder itself, or the one that the named file is in."""
        return self.path if self.is_folder else self.path.parent

    def open(self) -> FileSource:
        """Open the named file.

        Raises:
            MissingFileError: There is none.
        """
        return FileSource(self.path)

    def head(self, nbytes: int = 64) -> bytes:
        """Up to `nbytes` bytes from its start; empty if it is not a file."""
        if not self.is_file:
            return b""
        source = self.open()
        return source.read(0, min(nbytes, source.size))

    def beside(self, name: str) -> Location:
        """The file of that plain name in the model's folder."""
        if PurePosixPath(name).name != name:
            raise UnsafeError(f"{name!r} is not a plain file name", where=str(self))
        return Location(self.folder / name)

    def names(self) -> list[str]:
        """Names of what lies in the model's folder, sorted; empty if the folder is not there."""
        return sorted(os.listdir(self.folder)) if self.folder.is_dir() else []

    def contained(self, relative: str) -> FileSource:
        """Open a file by a name that a file gave: inside the model's folder, through no link that leads elsewhere.

        Raises:
            UnsafeError: The name is absolute, climbs out, passes a link, or names a file with a second hard link.
            MissingFileError: There is no such file.
        """
        parts = PurePosixPath(relative).parts
        if not parts or relative.startswith("/") or ".." in parts or "\0" in relative or "\\" in relative:
            raise UnsafeError(f"refuses to follow {relative!r} out of the model's folder", where=str(self))
        path = self.folder
        for part in parts:
            path = path / part
            if stat.S_ISLNK(_mode(path, follow_links=False)):
                path = self._inside_hub_cache(path)
        source = FileSource(path, follow_links=False)
        if os.fstat(source.fileno()).st_nlink > 1:
            raise UnsafeError(
                f"{path} has a second hard link, which may lead outside the model's folder", where=str(self)
            )
        return source

    def _inside_hub_cache(self, link: Path) -> Path:
        """Where a link leads in a cache of the Hugging Face Hub, whose snapshots are folders of links into `blobs`.

        Source: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
        """
        repository = self.folder.resolve().parents[1:2]
        target = link.resolve()
        if self.folder.resolve().parent.name == "snapshots" and target.parent == repository[0] / "blobs":
            return target
        raise UnsafeError(f"refuses to follow the link {link}", where=str(self))
