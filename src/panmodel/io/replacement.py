"""Several files take the place of several others: after a crash at any moment there is the old set or the new one.

No file system renames two files at once. So the old ones step aside under temporary names, the old main file first;
the new ones take their places, the new main file last; then the old ones go. Each of these steps is on the disk before
the next one begins. What a process that died in between left is put right by `recover`: without a main file in its
place the old set comes back and new files go, with one the new set is whole.

All of this happens in a locked folder (`io.locking`): replacements come one after another, and what is half done while
nobody holds the lock was left by a process that is gone.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from panmodel.io.interrupts import postponed
from panmodel.io.locking import is_running, locked_folder

#: `.NAME.PID-TAG.aside` for an old file, `.main.aside` for the main one. Where there was none: `.none.aside` for the
#: main file; `.new.aside` for another, which holds the inode number of the file that is to come there.
_ASIDE = re.compile(r"(?s)\.(?P<name>.+)\.(?P<tag>(?P<pid>\d+)-[0-9a-f]{8})\.(?P<role>main\.|none\.|new\.)?aside")
_INODE_DIGITS = 20
#: Bytes that the name of one of several files may have: those that file systems take, less what is added to step aside.
LONGEST_NAME = 255 - len("..4194304-01234567.main.aside")


class _Aside(NamedTuple):
    """A file that stepped aside, or the mark that there was none: where it is, and where it belongs."""

    path: Path
    role: str
    final: Path

    @property
    def is_mark(self) -> bool:
        """Whether it says which file is the main one."""
        return self.role in ("main.", "none.")


def replace_files(
    moves: Sequence[tuple[Path, Path]], main: Path, superseded: Callable[[], Iterable[Path]] = tuple
) -> None:
    """Rename files into their places, which Ctrl-C and the like do not interrupt once it is this process's turn.

    Args:
        moves: Complete files that are on the disk, and their places, all in one folder.
        main: The place of the file without which the others mean nothing; it is among those.
        superseded: Asked, when nobody else changes names in the folder any more, for the files of an older set that
            have no successor and are to go.

    Raises:
        OSError: A rename failed; the old files are back in their places.
    """
    folder = main.parent
    ordered = sorted(moves, key=lambda move: move[1] == main)
    with locked_folder(folder) as is_exclusive, postponed():
        _put_right(folder, is_exclusive=is_exclusive)
        gone = list(superseded())
        if len(ordered) > 1 or gone:
            _replace_set(ordered, gone)
        elif ordered:  # one rename is atomic by itself
            os.replace(*ordered[0])
            sync_folder(folder)


def _replace_set(ordered: Sequence[tuple[Path, Path]], gone: Iterable[Path]) -> None:
    partial, main = ordered[-1]
    tag = f"{os.getpid()}-{secrets.token_hex(4)}"
    try:
        _step_aside(ordered, gone, tag)
        sync_folder(main.parent)
        for other, final in ordered[:-1]:
            os.replace(other, final)
        sync_folder(main.parent)
        os.replace(partial, main)
        sync_folder(main.parent)
    finally:
        _settle(_groups(main.parent).get(tag, []))


def _step_aside(ordered: Sequence[tuple[Path, Path]], gone: Iterable[Path], tag: str) -> None:
    main = ordered[-1][1]
    try:
        os.rename(main, _aside(main, tag, "main."))
    except FileNotFoundError:
        _aside(main, tag, "none.").touch()
    for partial, final in ordered[:-1]:
        if os.path.lexists(final):
            os.rename(final, _aside(final, tag))
        else:
            _aside(final, tag, "new.").write_text(str(os.lstat(partial).st_ino))
    for path in gone:
        os.rename(path, _aside(path, tag))


def _aside(path: Path, tag: str, role: str = "") -> Path:
    return path.with_name(f".{path.name}.{tag}.{role}aside")


def recover(folder: Path, *, patience: float = 60.0) -> bool:
    """Finish or take back what processes that are gone left half done; wait for one that is at work.

    Args:
        folder: Where to look.
        patience: Seconds to wait.

    Returns:
        Whether there was something half done when the look began.

    Raises:
        OSError: It cannot be put right, or the other process does not end.
    """
    if not folder.is_dir() or not _groups(folder):
        return False
    with locked_folder(folder, patience=patience) as is_exclusive:
        _put_right(folder, is_exclusive=is_exclusive)
    return True


def _put_right(folder: Path, *, is_exclusive: bool) -> None:
    for tag, group in _groups(folder).items():
        if is_exclusive or not is_running(int(tag.partition("-")[0])):
            _settle(group)


def _settle(group: list[_Aside]) -> None:
    """With the main file in its place, what is aside goes; else it returns, and what was new goes.

    What says which file is the main one comes last, so that this can be done again after a crash in the middle, and
    whoever reads finds nothing or everything.
    """
    main = next((member.final for member in group if member.is_mark), None)
    for member in sorted(group, key=lambda member: member.is_mark):
        is_wanted = not os.path.lexists(member.final if main is None else main)
        if is_wanted and member.role in ("", "main."):
            os.replace(member.path, member.final)
            continue
        if is_wanted and member.role == "new." and _inode(member.final) == _noted(member.path):
            member.final.unlink(missing_ok=True)
        member.path.unlink(missing_ok=True)


def _inode(path: Path) -> str | None:
    return str(os.lstat(path).st_ino) if os.path.lexists(path) else None


def _noted(mark: Path) -> str:
    with open(mark, "rb") as file:
        return file.read(_INODE_DIGITS).decode("ascii", "replace")


def _groups(folder: Path) -> dict[str, list[_Aside]]:
    """Tag of a replacement → what stepped aside for it."""
    groups: dict[str, list[_Aside]] = {}
    for match in matching(folder, _ASIDE):
        member = _Aside(folder / match.string, match["role"] or "", folder / match["name"])
        groups.setdefault(match["tag"], []).append(member)
    return groups


def matching(folder: Path, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """The names in a folder that are of a form."""
    with contextlib.closing(os.scandir(folder)) as entries:
        yield from [match for entry in entries if (match := pattern.fullmatch(entry.name))]


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
