"""The rules of the house that no linter knows."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "panmodel").rglob("*.py"))
HEAVY = ("torch", "tensorflow", "keras", "onnxruntime", "onnx", "h5py", "rich")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_files_fit_in_the_head(path):
    assert len(path.read_text().splitlines()) <= 450


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_functions_fit_in_the_head(path):
    functions = [
        n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = [f.name for f in functions if f.end_lineno - f.lineno - len((ast.get_docstring(f) or "").splitlines()) > 45]
    assert long == []


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_names_say_what_things_are(path):
    assert not {"utils", "helpers", "common", "misc", "util", "helper"} & {path.stem, path.parent.name}


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_frameworks_are_imported_in_runtimes_alone(path):
    banned = {"pickle", "marshal", "cloudpickle", "dill", "joblib"}
    if path.parent.name != "runtimes":
        banned |= {"torch", "tensorflow", "keras", "onnxruntime"}
    imported = set()
    tree = ast.parse(path.read_text())
    guarded = {
        id(inner)
        for n in ast.walk(tree)
        if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"
        for inner in ast.walk(n)
    }
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported.add((node.module or "").partition(".")[0])
    assert not imported & banned


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_assertions_do_not_check_input(path):
    # an assert with a message is meant for a user, who must get an error of ours instead
    asserts = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert) and node.msg]
    assert asserts == []


def does_something(path):
    """Whether a module has functions with a body, rather than being a table, records or a protocol alone."""
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
    return any(len(function.body) > 1 or not isinstance(function.body[0], ast.Expr) for function in functions)


def is_tested(path):
    """Whether the tests have a file of the module's name in its place, or a folder of it."""
    place = ROOT / "tests" / path.parent.relative_to(ROOT / "src" / "panmodel")
    name = path.stem.lstrip("_")
    return (place / f"test_{name}.py").is_file() or any((place / name).glob("test_*.py"))


def test_every_source_has_a_test():
    """Tests mirror the sources: `tests/wire/test_zip.py` for `wire/zip.py`."""
    own = [path for path in SOURCES if path.stem not in ("__init__", "__main__") and does_something(path)]
    assert [relative(path) for path in own if not is_tested(path)] == []


def test_every_reader_is_tried_with_damaged_files():
    from panmodel.formats import registry

    tests = ROOT / "tests" / "formats"
    readable = [name for name, record in registry().items() if record.read is not None]
    assert [name for name in readable if "assert_survives(" not in (tests / f"test_{name}.py").read_text()] == []


def test_importing_panmodel_costs_no_framework():
    code = f"import sys, panmodel; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_recognising_a_file_loads_no_reader():
    """What only `read` and `write` of a format need is imported there: every start of the program pays for the rest."""
    code = "import sys; from panmodel.formats import registry; registry(); print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "numpy" not in loaded
    readers = ("wire.hdf5.file", "wire.pickle.machine", "model.graph", "model.tensorflow.graph", "model.onnx.decoding")
    assert not loaded & {f"panmodel.{name}" for name in readers}


def test_inspecting_costs_no_framework():
    path = ROOT / "examples" / "digits" / "model.ckpt"
    code = f"import sys, panmodel; panmodel.inspect({str(path)!r}); print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_documented():
    import panmodel

    assert sorted(panmodel.__all__) == sorted(set(panmodel.__all__))
    for name in panmodel.__all__:
        value = getattr(panmodel, name)
        assert isinstance(value, str) or value.__doc__, name


def test_the_text_of_the_project_speaks_of_itself_only():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    own = Path(__file__).relative_to(ROOT)
    words = ("/work" + "/", "/far" + "m/", "../" + "shared", "pypi." + "org", "sub" + "agent")
    for name in tracked:
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".yml", "") and path.is_file() and Path(name) != own:
            text = path.read_text(errors="replace")
            assert not [word for word in words if word in text], name


@pytest.mark.parametrize(
    "name", ["checkpoints/trained.ckpt", "object_checkpoints/keras3.ckpt", "keras/keras2_adam.npz"]
)
def test_inspecting_costs_no_numpy(name):
    """Loading it takes longer than to list some hundred tensors."""
    path = ROOT / "tests" / "fixtures" / name
    code = f"import sys; from panmodel.inspection import inspect; inspect({str(path)!r}); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
