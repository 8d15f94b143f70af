"""Where bytes go: a conversion leaves all of its files behind, or none, and never a broken one.

Files are written under temporary names in the target's folder, synced, and renamed when all are complete, the main file
last. A crash at any moment leaves the old files; what it leaves under temporary names is cleared by the next run.

A new file takes the place of the name: a link is replaced, and what it leads to stays as it is (it may be the content
of other names, as in a cache of the Hugging Face Hub); so does what other hard links lead to. Permissions and owner are
those of the file that was there.

What is written of a large file goes to the disk at once: the final sync has little left to wait for. What of it stays
in the memory of the system is settled by `panmodel.io.cache`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from panmodel.errors import OutputExistsError, StorageError, UsageError
from panmodel.io.cache import Room, WriteBehind
from panmodel.io.descriptors import HINT, open_file
from panmodel.io.interrupts import postponed
from panmodel.io.locking import is_abandoned, lock, locked_folder
from panmodel.io.replacement import LONGEST_NAME, matching, recover, replace_files

_PARTIAL = re.compile(r"\..+\.(?P<pid>\d+)-[0-9a-f]{8}\.partial", re.DOTALL)
#: Bytes of a file's name that are part of its temporary one, which must not be too long where the name is as long as
#: file systems take.
_RECOGNISABLE = 100


class StagedFile:
    """A file being written under a temporary name; takes any bytes-like object, counts what it took."""

    def __init__(self, final: Path, room: Room, progress: Callable[[int], None] | None = None) -> None:
        self.final = final
        self._progress = progress
        self.partial = final.with_name(f".{_begin(final.name)}.{os.getpid()}-{secrets.token_hex(4)}.partial")
        # before there is something to remove: an interrupt may come between any two steps
        self._remove = weakref.finalize(self, _remove, self.partial, os.getpid())
        with _storage_errors(final), locked_folder(final.parent):
            self._old = _status(final)
            self._file = open(_create(self.partial, is_private=self._old is not None), "wb", buffering=1 << 20)  # noqa: SIM115
        self._behind = WriteBehind(self._file.fileno(), None if self._old is None else final, room)
        self.position = 0

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append bytes; returns their number."""
        with _storage_errors(self.final):
            count = self._file.write(data)
        self.position += count
        self._behind.wrote(self.position)
        if self._progress is not None:
            self._progress(count)
        return count

    def write_all(self, pieces: Iterable[bytes | bytearray | memoryview]) -> int:
        """Append each piece in turn; returns the number of bytes."""
        return sum(self.write(piece) for piece in pieces)

    def align(self, multiple: int) -> None:
        """Append zero bytes up to the next multiple."""
        self.write(bytes(-self.position % multiple))

    def overwrite(self, offset: int, data: bytes) -> None:
        """Replace bytes already written, for headers whose content is known only at the end."""
        with _storage_errors(self.final):
            self._file.seek(offset)
            self._file.write(data)
            self._file.seek(0, os.SEEK_END)

    def finish(self) -> None:
        """Bring everything to the disk. The file stays open, and so locked, until it has its name."""
        with _storage_errors(self.final):
            self._file.flush()
            if self._old is not None:
                _permit_as(self._old, self._file.fileno())
            os.fsync(self._file.fileno())
            self._behind.synced()

    def discard(self) -> None:
        """Close it, and leave nothing behind under the temporary name."""
        with contextlib.suppress(OSError):  # buffered bytes that do not fit on the disk: nobody wants them any more
            self._file.close()
        self._behind.close()
        self._remove()


class Sink:
    """The files of one conversion. Use it as a context manager: they appear at its end, or not at all.

    Args:
        target: What the user named: the main file, or the prefix of a format of several files.
        names: Plain names of the files that are sure to be written, the main one last; left out, the target alone.
        force: Replace files that are there already.
        shard_size: Bytes of tensors that one file may have, for formats that can be split; None for no limit.
        progress: Told the number of bytes of every piece that is written.

    Raises:
        OutputExistsError: A file to be written is there, and `force` is not given.
        StorageError: The disk is full, the folder is missing or not writable.
    """

    def __init__(
        self,
        target: str | os.PathLike[str],
        *,
        names: Sequence[str] = (),
        force: bool = False,
        shard_size: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.target = Path(target)
        self.force, self.shard_size, self._progress = force, shard_size, progress
        self._room = Room()
        self._sure = [self.target.with_name(name) for name in names] or [self.target]
        self._staged: list[StagedFile] = []
        self._superseded: list[re.Pattern[str]] = []
        self._spared: frozenset[tuple[int, int]] = frozenset()
        self._is_prepared = False

    def open(self, name: str | None = None) -> StagedFile:
        """Begin a file: the main one, or one of that plain name beside it. The main file is renamed last."""
        self._prepare()
        final = self.main if name is None else self.target.with_name(name)
        self._require_free(final)
        if final != self.main or self._staged or self._superseded:  # one of several
            _require_short(final)
        if any(staged.final == final for staged in self._staged):
            raise OutputExistsError("would be written twice by this conversion", where=str(final))
        staged = StagedFile(final, self._room, self._progress)
        self._staged.append(staged)
        return staged

    def expect(self, nbytes: int) -> None:
        """Take note how much is about to be written, as far as is known: it settles what stays in memory."""
        self._room.expect(nbytes)

    def spare(self, files: frozenset[tuple[int, int]]) -> None:
        """Replace none of these files, whatever their names: what is written is read from them.

        Args:
            files: The device and number of each.
        """
        self._spared = files

    def supersede(self, names: re.Pattern[str]) -> None:
        """Take away files of an older model that would be taken for parts of this one, after all is in its place.

        Args:
            names: Form of their plain names in the target's folder.

        Raises:
            OutputExistsError: One is there, and `force` is not given.
        """
        self._prepare()
        self._superseded.append(names)
        self._older()

    def _older(self) -> list[Path]:
        """The files to take away that are there now."""
        folder, new = self.main.parent, set(self.files)
        with _storage_errors(self.main):
            older = [folder / match.string for names in self._superseded for match in matching(folder, names)]
        for path in older:
            self._require_free(path)
        return [path for path in dict.fromkeys(older) if path not in new]

    @property
    def main(self) -> Path:
        """The file without which the others mean nothing; it is renamed last."""
        return self._sure[-1]

    def require_free(self) -> None:
        """Check what can be checked before there is anything to write.

        Raises:
            OutputExistsError: One of the files that are sure to be written is there and must stay.
            UsageError: One of them is read from.
            StorageError: The folder is missing, or a folder has the name of a file that is to be written.
        """
        self._prepare()
        for final in self._sure:
            self._require_free(final)
            if len(self._sure) > 1:
                _require_short(final)

    def _require_free(self, final: Path) -> None:
        with _storage_errors(final):
            status = _status(final)
        if status is not None and not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise StorageError(f"is {what}, and is not replaced", where=str(final), hint="name another target")
        if status is not None and (status.st_dev, status.st_ino) in self._spared:
            raise UsageError("is both source and target", where=str(final), hint="name another target")
        if not self.force and os.path.lexists(final):
            raise OutputExistsError("is there already", where=str(final), hint="add --force to replace it")

    def _prepare(self) -> None:
        """Put right, once, what writers that do not run any more left in the folder."""
        if not self._is_prepared:
            with _storage_errors(self.main):
                _clear(self.main.parent)
            self._is_prepared = True

    @property
    def files(self) -> list[Path]:
        """The files that this sink writes, the main one last."""
        return [staged.final for staged in self._ordered()]

    @property
    def nbytes(self) -> int:
        """Bytes written so far, all files together."""
        return sum(staged.position for staged in self._staged)

    def commit(self) -> None:
        """Sync everything, then put everything in its place, which nothing but the end of the process interrupts."""
        for staged in self._staged:
            staged.finish()
        moves = [(staged.partial, staged.final) for staged in self._staged]
        with _storage_errors(self.main):
            replace_files(moves, self.main, self._settled)

    def _settled(self) -> list[Path]:
        """What is to go now that nobody else changes names; somebody may have put files there since the beginning."""
        for staged in self._staged:
            self._require_free(staged.final)
        return self._older()

    def discard(self) -> None:
        """Remove every temporary file."""
        with postponed():
            for staged in self._staged:
                staged.discard()

    def _ordered(self) -> list[StagedFile]:
        return sorted(self._staged, key=lambda staged: staged.final == self.main)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            if kind is None:
                self.commit()
        finally:
            self.discard()


class _storage_errors:  # noqa: N801 - reads as a statement
    """Turns the operating system's complaint about a target into ours."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if not isinstance(error, OSError):
            return
        where = str(self.path)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            hint = "free some space or choose another folder; nothing was left behind"
            raise StorageError(f"cannot be written: {os.strerror(error.errno)}", where=where, hint=hint) from error
        if error.errno == errno.ENOENT:
            raise StorageError(f"there is no folder {self.path.parent}", where=where, hint="make it first") from error
        hint = HINT if error.errno == errno.EMFILE else ""
        raise StorageError(f"cannot be written: {error.strerror or error}", where=where, hint=hint) from error


def _begin(name: str) -> str:
    """As much of a name as a temporary one has of it, in whole characters."""
    while len(os.fsencode(name)) > _RECOGNISABLE:
        name = name[:-1]
    return name


def _require_short(final: Path) -> None:
    """See that an old file of that name could step aside, as those of several files do."""
    if (nbytes := len(os.fsencode(final.name))) > LONGEST_NAME:
        message = f"the name has {nbytes} bytes, and those of several files that are written together {LONGEST_NAME}"
        raise StorageError(message, where=str(final), hint="name a shorter target")


def _create(partial: Path, *, is_private: bool) -> int:
    """Open a new file and lock it; its folder is locked."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = open_file(partial, flags, 0o600 if is_private else 0o666)
    lock(descriptor)
    return descriptor


def _status(final: Path) -> os.stat_result | None:
    """Of the file that is there, behind links; None if there is none."""
    try:
        return os.stat(final)
    except FileNotFoundError:  # or a link to nothing
        return None


def _permit_as(old: os.stat_result, descriptor: int) -> None:
    """Give a file the owner and the permissions of an older one."""
    # who may not give files away, or has a file system that knows no owners, keeps it as a file of their own
    with contextlib.suppress(OSError):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    with contextlib.suppress(PermissionError):
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode) & 0o777)


def _remove(partial: Path, pid: int) -> None:
    if os.getpid() == pid:  # and not a fork of the writer, which has its objects, but not its work
        with contextlib.suppress(OSError):  # of a folder that is closed by now; the next conversion there clears it
            partial.unlink(missing_ok=True)


def _clear(folder: Path) -> None:
    """Put right what writers that do not run any more left in a folder."""
    recover(folder)
    partials = list(matching(folder, _PARTIAL))
    if partials:
        with locked_folder(folder):
            for match in partials:
                if is_abandoned(folder / match.string, int(match["pid"])):
                    (folder / match.string).unlink(missing_ok=True)
