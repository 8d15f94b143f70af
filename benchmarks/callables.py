"""Offers every public callable of the standard library, numpy and torch in a pickle that would call it.

    python benchmarks/callables.py [--every 1] [--methods] [packages: standard numpy torch]

The pickles are written as bytes and never loaded; each is put into a plain pickle, into torch's zip archive and into
its legacy container in turn. Opening each must end in a refusal that says the name, and the scan must call it
dangerous. An audit hook sees to it that nothing is imported, compiled, executed or written on the way, and that no
file but the offered one is opened. Names that both take for makers of plain values are counted, and listed at the end.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import importlib
import inspect
import io
import pickle
import pkgutil
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import panmodel
from panmodel.errors import PanmodelError, UnsafeError
from panmodel.model.finding import Level
from panmodel.scanners.pickle_names import is_allowed
from panmodel.wire.pickle import Global
from panmodel.wire.torch_names import AllowList

#: Importing them opens a browser, prints a poem, starts a window, or runs tests or something else.
ASIDE = {"antigravity", "this", "idlelib", "turtle", "turtledemo", "lib2to3", "test", "tests", "tkinter", "testing"}
FORBIDDEN = ("import", "exec", "compile", "os.", "subprocess.", "socket.", "shutil.", "ctypes.", "marshal.", "pickle.")
HARMLESS = {"os.listdir", "os.scandir", "os.fspath"}  # for an index or a model that the file may be a part of
MAGIC = 0x1950A86A20F9469CFC6C


def modules(package: str) -> Iterator[str]:
    """The public modules of a package, and of those in it."""
    roots = sorted(name for name in sys.stdlib_module_names if is_public(name)) if package == "standard" else [package]
    pending = list(reversed(roots))
    while pending:
        name = pending.pop()
        module = imported(name)
        if module is None:
            continue
        yield name
        inner = pkgutil.iter_modules(getattr(module, "__path__", ()))
        pending += [f"{name}.{found.name}" for found in inner if is_public(found.name)]


def is_public(name: str) -> bool:
    return not name.startswith("_") and name not in ASIDE


def imported(name: str) -> Any:
    silent = (contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()))
    try:
        with silent[0], silent[1], warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except (Exception, SystemExit):  # what is not installed here, or not for this system
        return None


def callables(package: str, *, methods: bool) -> list[Global]:
    found = set()
    for name in modules(package):
        module = sys.modules[name]
        for attribute in dir(module):
            value = attribute_of(module, attribute)
            if callable(value) and is_public(attribute) and attribute.isidentifier():
                found.add(Global(name, attribute))
                if methods and inspect.isclass(value):
                    inner = (each for each in dir(value) if not each.startswith("_"))
                    found |= {
                        Global(name, f"{attribute}.{each}") for each in inner if callable(attribute_of(value, each))
                    }
    return sorted(found, key=lambda each: (each.module, each.name))


def attribute_of(holder: Any, name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return getattr(holder, name)
        except Exception:  # properties of modules do as they please
            return None


# Pickles


def forms(canary: Path) -> list[Callable[[Global], bytes]]:
    """Every way in which a pickle calls or instantiates a name, with the path of the canary."""
    text = str(canary).encode()
    argument = b"X" + len(text).to_bytes(4, "little") + text

    def lines(name: Global) -> bytes:
        return f"{name.module}\n{name.name}\n".encode()

    def short(text: str) -> bytes:
        return b"X" + len(text).to_bytes(4, "little") + text.encode()

    return [
        lambda name: b"\x80\x04" + short(name.module) + short(name.name) + b"\x93" + argument + b"\x85R.",
        lambda name: b"\x80\x02c" + lines(name) + argument + b"\x85R.",
        lambda name: b"\x80\x02c" + lines(name) + argument + b"\x85\x81.",
        lambda name: b"\x80\x02(c" + lines(name) + argument + b"o.",
        lambda name: b"\x80\x02(" + argument + b"i" + lines(name) + b".",
        lambda name: b"\x80\x02c" + lines(name) + argument + b"\x85R}" + argument + b"Nsb.",
        lambda name: b"\x80\x02}" + argument + b"c" + lines(name) + argument + b"\x85Rs.",
    ]


def zipped(path: Path, data: bytes) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", data)
        file.writestr("a/version", b"3\n")


def legacy(path: Path, data: bytes) -> None:
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = b"".join(pickle.dumps(value, 2) for value in (MAGIC, 1001, system))
    path.write_bytes(head + data + pickle.dumps([], 2))


CONTAINERS: dict[str, Callable[[Path, bytes], object]] = {
    "a.pkl": Path.write_bytes,
    "a.pt": zipped,
    "legacy.pt": legacy,
}


# Offering


class Watch:
    """Notes what a pickle that is executed could not do without."""

    def __init__(self) -> None:
        self.on, self.seen = False, []
        self.allowed: Path | None = None
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on or event in HARMLESS:
            return
        if event.startswith(FORBIDDEN) or (event == "open" and not self._is_allowed(args)):
            self.seen.append((event, str(args)[:200]))

    def _is_allowed(self, args: tuple[Any, ...]) -> bool:
        return str(args[0]) == str(self.allowed) and not set(str(args[1] or "r")) & set("wax+")

    def __enter__(self) -> None:
        self.on = True

    def __exit__(self, *_: object) -> None:
        self.on = False


def offer(name: Global, path: Path, watch: Watch) -> str:
    """What is wrong with the answers about a file that calls a name; nothing if all is well."""
    watch.allowed, said = path, "it is opened"
    with watch:
        try:
            panmodel.read(path)
        except UnsafeError as error:
            said = str(error)
        except PanmodelError as error:
            said = f"{type(error).__name__} {error}"
        found = panmodel.scan(path)
    whole = f"{name.module}.{name.name}"
    told = " ".join(finding.message for finding in found.files[0].findings if finding.rule.level is Level.DANGEROUS)
    if watch.seen:
        return f"executed: {watch.seen}"
    if whole not in said or "names" not in said:
        return f"opening: {said}"
    return "" if whole in told else f"scan: {found.verdict} {told}"


def run(package: str, every: int, watch: Watch, *, methods: bool) -> tuple[int, int, list[Global], list[str]]:
    """Offer the callables of a package.

    Returns:
        How many there are, how many files were refused, what is known, and what went wrong.
    """
    known = AllowList("", 0).known
    names = callables(package, methods=methods)[::every]
    plain = [name for name in names if name in known or is_allowed(name)]
    wrong, refused = [], 0
    left = set(names) - set(plain)
    with tempfile.TemporaryDirectory() as scratch:
        canary = Path(scratch) / "canary"
        made = forms(canary)
        warm_up(Path(scratch), made[0])
        for place, name in enumerate(name for name in names if name in left):
            for turn, (file, write) in enumerate(CONTAINERS.items()):
                folder = Path(scratch) / "offered"
                folder.mkdir(exist_ok=True)
                write(folder / file, made[(place + 3 * turn) % len(made)](name))
                problem = offer(name, folder / file, watch)
                (folder / file).unlink()
                refused += not problem
                if problem:
                    wrong.append(f"{name.module}.{name.name} in {file}: {problem}"[:500])
                watch.seen.clear()
            if canary.exists() or list(folder.iterdir()):
                wrong.append(f"{name.module}.{name.name} left a file")
    return len(names), refused, plain, wrong


def warm_up(folder: Path, form: Callable[[Global], bytes]) -> None:
    """Have imported what is imported when it is used."""
    for codec in ("raw_unicode_escape", "unicode_escape", "latin-1", "utf-32-le"):
        codecs.lookup(codec)
    for file, write in CONTAINERS.items():
        write(folder / file, form(Global("os", "system")))
        with contextlib.suppress(UnsafeError):
            panmodel.read(folder / file)
        panmodel.scan(folder / file)
        (folder / file).unlink()


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--every", type=int, default=1, help="offer one of so many")
    ask.add_argument("--methods", action="store_true", help="offer the methods of classes too")
    ask.add_argument("packages", nargs="*", default=["standard", "numpy", "torch"])
    args = ask.parse_args()
    watch, failures, known = Watch(), 0, []
    for package in args.packages:
        began = time.monotonic()
        count, refused, plain, wrong = run(package, args.every, watch, methods=args.methods)
        seconds = time.monotonic() - began
        counts = f"{count} callables, {refused} files refused, {len(plain)} plain, {len(wrong)} wrong"
        print(f"{package}: {counts}, {seconds:.0f} s", flush=True)
        print(*(f"  {line.splitlines()[0]}" for line in wrong), sep="\n", end="\n" if wrong else "")
        failures += len(wrong)
        known += plain
    print("plain:", ", ".join(f"{name.module}.{name.name}" for name in known))
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
