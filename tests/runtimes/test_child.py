"""Runtimes in a child process: what crosses over, and what becomes of a child that fails."""

import resource
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest

from panmodel.errors import UnsupportedError
from panmodel.runtimes import child


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """Calls a function, given as source, in a child, in the place of a runtime."""

    def call(body, inputs=None, outputs=("y",), python=sys.executable):
        script = tmp_path / "runtime.py"
        lines = ["import os, resource, signal, sys, time", "import numpy as np", "from panmodel.runtimes import child"]
        lines += ["def run(model, inputs, outputs):", *(f"    {line}" for line in body.splitlines())]
        script.write_text("\n".join([*lines, "child.answer(run)\n"]))
        start = tmp_path / "python"  # without the options, the start and the module
        start.write_text(f'#!/bin/sh\nshift 5\nexec {python} {script} "$@"\n')
        start.chmod(start.stat().st_mode | stat.S_IXUSR)
        folder = tmp_path / "exchange"
        folder.mkdir(exist_ok=True)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(start))
            return child.call("odd", tmp_path / "model.bin", inputs or {}, list(outputs), folder)

    return call


NUMBERS = "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64 complex64"
ECHO = "return {name: inputs[name] for name in outputs}"


def test_arrays_of_every_plain_type_come_back(runtime):
    inputs = {kind: np.array([[0, 1, 100]]).astype(kind) for kind in NUMBERS.split()}
    inputs |= {"empty": np.zeros((0, 3), np.float32), "scalar": np.float64(1.5), "infinite": np.array([np.inf, np.nan])}
    found = runtime(ECHO, inputs, outputs=list(inputs))
    assert list(found) == list(inputs)
    for name, array in inputs.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("kind", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_narrow_floats_arrive_as_such_and_come_back_as_float32(runtime, kind):
    array = np.array([0.5, -2.0, 1.75]).astype(getattr(ml_dtypes, kind))
    body = "return {'x': inputs['x'], 'kind': np.array(str(inputs['x'].dtype))}"
    found = runtime(body, {"x": array}, outputs=("x", "kind"))
    assert str(found["kind"]) == kind
    assert found["x"].dtype == np.float32 and found["x"].tolist() == [0.5, -2.0, 1.75]


@pytest.mark.parametrize(
    "array", [np.array([[b"a", b"longer"]], object), np.array(["é", ""], object), np.array([b"ab"]), np.array(["ab"])]
)
def test_strings_arrive_as_objects(runtime, array):
    body = "return {'x': inputs['x'], 'kind': np.array(inputs['x'].dtype.kind)}"
    found = runtime(body, {"x": array}, outputs=("x", "kind"))
    assert str(found["kind"]) == "O"
    assert found["x"].shape == array.shape and found["x"].tolist() == array.tolist()


def test_names_may_be_anything(runtime):
    names = ["a/b:0", "file", "../../etc", "\0", "é", ""]
    inputs = {name: np.array(number) for number, name in enumerate(names)}
    assert {name: int(array) for name, array in runtime(ECHO, inputs, outputs=names).items()} == {
        name: number for number, name in enumerate(names)
    }


def test_the_runtime_may_find_other_tensors_than_were_wanted(runtime):
    found = runtime("return {'only': np.arange(2)}", outputs=("y", "only"))
    assert list(found) == ["only"] and found["only"].tolist() == [0, 1]


def test_an_error_is_told_in_its_words(runtime):
    with pytest.raises(UnsupportedError, match=r"model\.bin: odd cannot run it: ValueError: no kernel for Odd") as said:
        runtime("print('noise', file=sys.stderr)\nraise ValueError('no kernel for Odd')")
    assert "Traceback" not in str(said.value)


def test_endless_errors_are_cut(runtime):
    with pytest.raises(UnsupportedError) as said:
        runtime("raise ValueError('x' * 100_000)")
    assert len(str(said.value)) < 3000


@pytest.mark.parametrize(
    ("body", "said"),
    [("os.abort()", "exit code -6"), ("os.kill(os.getpid(), 11)", "exit code -11"), ("os._exit(3)", "exit code 3")],
)
def test_a_crash_is_an_error_of_ours(runtime, body, said):
    with pytest.raises(UnsupportedError, match=said):
        runtime(body)


def test_a_crash_that_says_what_is_no_text(runtime):
    with pytest.raises(UnsupportedError, match=r"node .* is odd"):
        runtime(r"os.write(2, b'node \xff\xfe is odd\n')" + "\nos._exit(1)")


def test_a_run_without_end_is_ended(runtime, monkeypatch):
    monkeypatch.setattr(child, "TIMEOUT", 2)
    began = time.monotonic()
    with pytest.raises(UnsupportedError, match="no answer within 2 s"):
        runtime("time.sleep(60)")
    assert time.monotonic() - began < 20


LIMITS = "return {'cpu': resource.getrlimit(resource.RLIMIT_CPU), 'data': resource.getrlimit(resource.RLIMIT_DATA)}"


def test_the_child_has_limits(runtime):
    found = runtime(LIMITS, outputs=("cpu", "data"))
    assert resource.RLIM_INFINITY not in found["cpu"] and resource.RLIM_INFINITY not in found["data"]
    assert 0 < found["cpu"][0] <= child._CPU_SECONDS


@pytest.mark.parametrize("kind", ["-S ", ""])
def test_lower_limits_that_are_there_stay(runtime, tmp_path, kind):
    """As batch systems set them; who may not raise them must not fail over them."""
    within = tmp_path / "within"
    within.write_text(f'#!/bin/sh\nulimit {kind}-t 1800 && ulimit {kind}-d 4000000 && exec {sys.executable} "$@"\n')
    within.chmod(within.stat().st_mode | stat.S_IXUSR)
    found = runtime(LIMITS, outputs=("cpu", "data"), python=within)
    assert found["cpu"].tolist() == [1800, 1800] and found["data"].tolist() == [4000000 * 1024] * 2


def test_more_memory_than_there_is_is_an_error(runtime):
    with pytest.raises(UnsupportedError, match="MemoryError"):
        runtime("return {'y': np.ones(1 << 50, np.uint8)}")


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """The current folder: that of a model, and of modules that would be imported in the place of others."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    for name in ("numpy", "json", "onnxruntime", "sitecustomize", "usercustomize"):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write({name!r})\n")
    monkeypatch.chdir(folder)
    return folder


#: What makes Python look in the current folder, besides `-m` and `-c`.
SEARCHED = [
    "{path}",
    ":{path}",
    "{path}:",
    ".:{path}",
    "{folder}:{path}",
    "{folder}/../downloads/:{path}",
    "{link}:{path}",
]


@pytest.mark.parametrize("entries", SEARCHED)
def test_nothing_beside_the_model_is_imported(downloads, tmp_path, monkeypatch, entries):
    source = str(Path(child.__file__).parents[2])
    (tmp_path / "link").symlink_to(downloads)
    monkeypatch.setenv("PYTHONPATH", entries.format(path=source, folder=downloads, link=tmp_path / "link"))
    graph = onnx.parser.parse_graph("g (float[2] x) => (float[2] y) { y = Neg(x) }")
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8), "m.onnx")
    (tmp_path / "exchange").mkdir()
    found = child.call("onnxruntime", Path("m.onnx"), {"x": np.float32([1, 2])}, ["y"], Path("../exchange"))
    assert found["y"].tolist() == [-1, -2]
    assert not (tmp_path / "executed").exists()


def test_the_folder_of_the_model_is_not_searched_from_elsewhere_either(downloads, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(downloads))
    assert child._import_path(downloads) == []
    monkeypatch.setenv("PYTHONPATH", f"libraries:{downloads}")
    assert child._import_path(downloads) == [str(tmp_path / "libraries")]


def test_panmodel_is_found_wherever_it_lies(tmp_path, monkeypatch):
    """Without PYTHONPATH and outside of any installation, as in the source tree."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(
        Path(child.__file__).parents[1], tmp_path / "panmodel", ignore=shutil.ignore_patterns("__pycache__")
    )
    code = "import panmodel.runtimes.child as c, pathlib; print(c.__file__); "
    code += "c.call('onnxruntime', pathlib.Path('none.onnx'), {}, [], pathlib.Path('.'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert str(tmp_path) in done.stdout
    assert "onnxruntime cannot run it" in done.stderr and "No module named" not in done.stderr
    assert "doesn't exist" in done.stderr
