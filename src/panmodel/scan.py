"""Whether files could execute something or reach outside: every scanner that recognises a file looks at it.

Nothing is loaded, imported, unpacked to disk or followed out of a folder. An answer is "clean" only for what was
recognised and looked at to its end.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from panmodel import scanners
from panmodel.errors import PanmodelError
from panmodel.io.source import FileSource
from panmodel.model.finding import Finding, Level, Rule, Scan, ScannedFile
from panmodel.model.scanner import UNKNOWN, UNREADABLE, Budget, Subject

#: Told how many bytes are looked at, and how many there are.
Progress = Callable[[int, int], None]

_DEPTH, _FILES = 64, 1_000_000

MISSING = Rule(
    "PM-MISSING", Level.UNDECIDED, "Nothing is there to be scanned.", "Give the path of a file or folder that exists."
)
LINK = Rule(
    "PM-LINK-OUT",
    Level.UNDECIDED,
    "A link leads out of the scanned folder; it was not followed.",
    "Scan what it leads to by its own path.",
)
SPECIAL = Rule(
    "PM-SPECIAL-FILE",
    Level.UNDECIDED,
    "A device, socket or pipe, which no model consists of.",
    "Find out what put it there.",
)
FAILED = Rule(
    "PM-SCAN-FAILED",
    Level.UNDECIDED,
    "The scan itself failed on this file, so it says nothing about it.",
    "Do not load it, and report the file to the maintainers of panmodel.",
)
CLOSED = Rule(
    "PM-NOT-OPENED",
    Level.UNDECIDED,
    "The system did not let it be opened or read.",
    "Scan it as somebody who may read it, from a disk that works.",
)
_OWN = (MISSING, LINK, SPECIAL, FAILED, CLOSED)


def scan(path: str | os.PathLike[str], *more: str | os.PathLike[str], progress: Progress | None = None) -> Scan:
    """Say of files and folders whether loading them could execute something or reach outside.

    Args:
        path: A file, a folder (looked through recursively, no link out of it followed), or the common name of several,
            the prefix of a checkpoint or of shards.
        more: Further ones.
        progress: Told how many bytes of the files are looked at, and how many there are.

    Returns:
        Every file with its findings; `verdict` is the worst of them. A path that is not there or cannot be read is
        undecided, never an error.
    """
    found: dict[str, ScannedFile] = {}
    claimed: set[str] = set()
    files: dict[str, tuple[Path, ScannedFile | None]] = {}
    for each in (path, *more):
        for file, problem in _files(each):
            files.setdefault(str(file), (file, problem))
    count = _counter([file for file, _ in files.values()], progress)
    for name, (file, problem) in files.items():
        found[name] = problem or _scanned(file, claimed)
        count(file)
    for name in claimed & found.keys():
        _accept_raw(found[name])
    rules = sorted((*scanners.rules(), *_OWN), key=lambda rule: rule.id)
    return Scan(list(found.values()), rules)


def _counter(files: Sequence[Path], progress: Progress | None) -> Callable[[Path], None]:
    """Adds up the sizes of files that are done; of what is told to nobody, nothing."""
    if progress is None:
        return lambda _: None
    sizes = {file: _size(file) for file in files}
    done, total = 0, sum(sizes.values())

    def count(file: Path) -> None:
        nonlocal done
        done += sizes[file]
        progress(done, total)

    return count


def _size(file: Path) -> int:
    try:
        return file.lstat().st_size
    except OSError:  # a file that is gone, which its scan says
        return 0


def _files(given: str | os.PathLike[str]) -> Iterator[tuple[Path, ScannedFile | None]]:
    """Every file that a path means; with a problem instead of a look for what cannot be opened."""
    path = Path(given)
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except OSError as error:
        yield path, _problem(path, CLOSED, error.strerror or str(error))
        return
    if not os.fspath(given):  # which would mean the current folder, and hardly does
        yield path, _problem(path, MISSING, "the path is empty")
    elif is_folder:
        yield from _folder(path, path.resolve(), 0)
    elif is_there:
        yield path, None
    else:
        beside = _of_prefix(path)
        if not beside:
            yield path, _problem(path, MISSING, "there is no such file or folder")
        yield from ((each, None) for each in beside)


def _of_prefix(path: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(path.parent)) if path.name else []
    except OSError:
        return []
    shard = re.compile(rf"{re.escape(path.stem)}-\d{{5}}-of-\d{{5}}{re.escape(path.suffix)}")
    begin = f"{path.name}.index", f"{path.name}.data-", f"{path.name}.meta"
    return [path.with_name(name) for name in names if name.startswith(begin) or shard.fullmatch(name)]


def _folder(folder: Path, root: Path, depth: int) -> Iterator[tuple[Path, ScannedFile | None]]:
    if depth > _DEPTH:
        yield folder, _problem(folder, UNREADABLE, f"folders lie more than {_DEPTH} deep within each other")
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield folder, _problem(folder, CLOSED, error.strerror or str(error))
        return
    for entry in entries[:_FILES]:
        path = Path(entry.path)
        if entry.is_symlink():
            yield path, _link(path, root)
        elif entry.is_dir(follow_symlinks=False):
            yield from _folder(path, root, depth + 1)
        else:
            yield path, None
    if len(entries) > _FILES:
        yield folder, _problem(folder, UNREADABLE, f"has over {_FILES} files")


def _link(path: Path, root: Path) -> ScannedFile:
    target = Path(os.path.realpath(path))
    if not target.is_relative_to(root):
        return _problem(path, LINK, f"leads to {str(target)[:300]}")
    try:
        is_there = target.exists()
    except OSError as error:  # a name that no file can have, or a folder that is closed to us
        return _problem(path, CLOSED, f"leads to {str(target)[:300]}: {error.strerror or error}")
    if not is_there:
        return _problem(path, MISSING, f"leads to {str(target)[:300]}, where nothing is")
    return ScannedFile(str(path), ("link within the folder",))  # what it leads to is met by its own name


def _problem(path: Path, rule: Rule, message: str) -> ScannedFile:
    return ScannedFile(str(path), (), [Finding(rule, message)])


def _scanned(path: Path, claimed: set[str]) -> ScannedFile:
    file = ScannedFile(str(path))
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return _problem(path, SPECIAL, "is no regular file")
        source = FileSource(path)
    except PanmodelError as error:
        return _problem(path, UNREADABLE, error.message)
    except OSError as error:
        return _problem(path, CLOSED, error.strerror or str(error))
    subject = Subject(source, path.name, file.findings, scanners.look, path=path, budget=Budget.of(source.size))
    try:
        scanners.look(subject)
    except OSError as error:
        subject.report(CLOSED, error.strerror or str(error))
    except Exception as error:  # whatever goes wrong here must not pass for an answer
        subject.report(FAILED, f"{type(error).__name__}: {str(error)[:200]}")
    file.kinds = tuple(subject.kinds)
    claimed |= {str(each) for each in subject.claimed}
    return file


def _accept_raw(file: ScannedFile) -> None:
    """Take a file of unknown content for raw numbers, since a model beside it says that it is."""
    if all(finding.rule is UNKNOWN and not finding.member for finding in file.findings):
        file.findings.clear()
        file.kinds = (*file.kinds, "raw numbers of a model beside it")
