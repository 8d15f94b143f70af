"""What a pickle names is not looked up, whatever it is and however it is called.

Each public callable of the standard library, numpy and torch is offered in a pickle of its own, by every opcode that
calls or instantiates, to a process that notes every import, execution, process, socket and file opened for writing.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
import contextlib, importlib, io, os, pkgutil, sys, warnings
from pathlib import Path
from panmodel.errors import PanmodelError
from panmodel.io.source import MemorySource
from panmodel.wire.pickle import Global, Object
from panmodel.wire.torch_container import load
from panmodel.wire.torch_names import AllowList

canary, package = Path(sys.argv[1]), sys.argv[2]
#: Importing them opens a browser, prints a poem, starts a window, or runs something.
ASIDE = {"antigravity", "this", "idlelib", "turtle", "turtledemo", "__main__", "lib2to3", "test", "tkinter"}

def modules():
    if package == "standard":
        for name in sorted(sys.stdlib_module_names - ASIDE):
            yield name
        yield from ("os.path", "importlib.util", "concurrent.futures", "multiprocessing.pool", "xml.etree.ElementTree")
        return
    root = importlib.import_module(package)
    yield package
    for found in pkgutil.iter_modules(root.__path__):
        if found.name.startswith("__"):
            continue
        yield f"{package}.{found.name}"

def callables():
    seen = set()
    for name in modules():
        try:
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = importlib.import_module(name)
        except (ImportError, OSError, RuntimeError, AttributeError):
            continue
        for attribute in sorted(set(dir(module))):
            if not attribute.startswith("_") and attribute.isidentifier():
                try:
                    if callable(getattr(module, attribute)):
                        seen.add((name, attribute))
                except Exception:
                    continue
    return sorted(seen)

text = str(canary).encode()
ARGUMENT = b"X" + len(text).to_bytes(4, "little") + text
def forms(module, name):
    lines, module, name = f"{module}\\n{name}\\n".encode(), module.encode(), name.encode()
    short = b"\\x8c" + bytes([len(module)]) + module + b"\\x8c" + bytes([len(name)]) + name + b"\\x93"
    yield "reduce", b"\\x80\\x02c" + lines + ARGUMENT + b"\\x85R."
    yield "stack", b"\\x80\\x04" + short + ARGUMENT + b"\\x85R."
    yield "newobj", b"\\x80\\x02c" + lines + ARGUMENT + b"\\x85\\x81."
    yield "obj", b"(c" + lines + ARGUMENT + b"o."
    yield "inst", b"(" + ARGUMENT + b"i" + lines + b"."
    yield "build", b"\\x80\\x02c" + lines + ARGUMENT + b"\\x85R}" + ARGUMENT + b"Nsb."

offered = callables()
known = AllowList("", 0).known
load(MemorySource(b"cos\\nsystem\\n)R."))  # imports what is imported when it is used
events, watching = [], False
FORBIDDEN = ("import", "exec", "compile", "os.", "subprocess.", "socket.", "shutil.", "ctypes.", "marshal.", "pickle.")
def hook(event, args):
    if watching and (event.startswith(FORBIDDEN) or event == "open"):
        events.append((event, str(args)[:100]))
sys.addaudithook(hook)

loaded_before = set(sys.modules)
count = 0
for module, name in offered:
    wanted = Global(module, name)
    if wanted in known:
        continue
    for form, data in forms(module, name):
        watching = True
        found = load(MemorySource(data))
        watching = False
        assert not events, (module, name, form, events)
        assert set(found.unknown) == {wanted}, (module, name, form, found.unknown)
        assert form == "newobj" or found.called == {wanted}, (module, name, form)
        assert isinstance(found.value, Object) and found.value.cls == wanted, (module, name, form)
    count += 1
assert set(sys.modules) == loaded_before
assert not canary.exists()
print(count)
"""


@pytest.mark.parametrize(("package", "at_least"), [("standard", 4000), ("numpy", 500), ("torch", 1500)])
def test_callables_stay_names(tmp_path: Path, package: str, at_least: int) -> None:
    if package != "standard":
        pytest.importorskip(package)
    command = [sys.executable, "-c", CHILD, str(tmp_path / "canary"), package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) > at_least
    assert list(tmp_path.iterdir()) == []
