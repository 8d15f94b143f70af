"""Several files take the place of several others: after a crash at any moment there is the old set or the new one.

No file system renames two files at once. So the old ones step aside under temporary names, the old main file first;
the new ones take their places, the new main file last; then the old ones go. What a process that died in between left
is put right by `recover`: without a main file in its place the old set comes back, with one the new set is whole.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

#: `.NAME.PID-TAG.aside` for an old file; `.main.aside` for the main one, `.none.aside` where there was no main file.
_ASIDE = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)-(?P<tag>[0-9a-f]{8})\.(?P<role>main\.|none\.)?aside")


def replace_files(moves: Sequence[tuple[Path, Path]], main: Path, superseded: Iterable[Path] = ()) -> None:
    """Rename files into their places.

    Args:
        moves: Complete files and their places, all in one folder.
        main: The place of the file without which the others mean nothing.
        superseded: Files of an older set that have no successor and are to go.

    Raises:
        OSError: A rename failed; the old files are back in their places.
    """
    ordered = sorted(moves, key=lambda move: move[1] == main)
    finals = {final for _, final in ordered}
    old = [path for path in {*finals, *superseded} - {main} if _is_there(path)]
    if main not in finals or not old:  # one rename is atomic by itself, and new files among no old ones harm nobody
        for partial, final in ordered:
            os.replace(partial, final)
        return
    tag = f"{os.getpid()}-{secrets.token_hex(4)}"
    try:
        _step_aside(main, old, tag)
        for partial, final in ordered:
            os.replace(partial, final)
    except BaseException:
        recover(main.parent, tag=tag)
        raise
    sync_folder(main.parent)
    recover(main.parent, tag=tag)


def _step_aside(main: Path, old: Iterable[Path], tag: str) -> None:
    if _is_there(main):
        os.rename(main, main.with_name(f".{main.name}.{tag}.main.aside"))
    else:
        main.with_name(f".{main.name}.{tag}.none.aside").touch()
    for path in old:
        os.rename(path, path.with_name(f".{path.name}.{tag}.aside"))


def recover(folder: Path, *, tag: str | None = None) -> bool:
    """Finish or take back what a process that does not run any more left half done.

    Args:
        folder: Where to look.
        tag: Of this one replacement, whose process is this one; else of every process that is gone.

    Returns:
        Whether an old set came back.
    """
    came_back = False
    for group in _groups(folder, tag).values():
        mark, role, main = next(((path, role, final) for path, role, final in group if role), (None, "", None))
        if mark is not None and main is not None and not _is_there(main):
            came_back |= role == "main."
            _put_back(group, mark)
            continue
        for path, _, _ in sorted(group, key=lambda member: member[0] == mark):
            path.unlink(missing_ok=True)
    return came_back


def _put_back(group: list[tuple[Path, str, Path]], mark: Path) -> None:
    """The old files return, the main one last, so that whoever reads finds nothing or everything."""
    for path, role, final in sorted(group, key=lambda member: member[0] == mark):
        if role == "none.":
            path.unlink(missing_ok=True)
        else:
            os.replace(path, final)


def _groups(folder: Path, tag: str | None) -> dict[str, list[tuple[Path, str, Path]]]:
    """Tag → the files that stepped aside under it: path, role, and the place that each came from."""
    groups: dict[str, list[tuple[Path, str, Path]]] = {}
    if not folder.is_dir():
        return groups
    with os.scandir(folder) as entries:
        found = [match for entry in entries if (match := _ASIDE.fullmatch(entry.name))]
    for match in found:
        key = f"{match['pid']}-{match['tag']}"
        if key == tag or (tag is None and not is_running(int(match["pid"]))):
            member = (folder / match.string, match["role"] or "", folder / match["name"])
            groups.setdefault(key, []).append(member)
    return groups


def is_running(pid: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()
