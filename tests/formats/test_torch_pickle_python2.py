"""Pickles of Python 2, protocols 0 to 2: weights of the years before 2018, in which every string is one of bytes."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from tests.damage import assert_survives, contents_of
from tests.python2_pickles import dumps

import panmodel as pm
from panmodel.formats import torch_pickle
from panmodel.io.source import Location

PROTOCOLS = pytest.mark.parametrize("protocol", range(3))
#: Elements whose bytes are ASCII, text in UTF-8, text in no encoding, and none at all.
ARRAYS = {
    b"ascii": np.frombuffer(b"abcd'\\\n\0", "f4"),
    b"utf8": np.frombuffer("éééé".encode(), "f4"),
    b"raw": np.linspace(-1, 1, 12, dtype="f4").reshape(3, 4),
    b"none": np.zeros((0, 3), "f4"),
    b"fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    b"big": np.arange(3, dtype=">i2"),
    b"flags": np.array([True, False]),
    b"scalar": np.array(2.5, "f8"),
}


def saved(path: Path, value: object, protocol: int) -> Path:
    path.write_bytes(dumps(value, protocol))
    return path


@PROTOCOLS
def test_arrays_are_bit_for_bit_what_python_reads(tmp_path: Path, protocol: int) -> None:
    path = saved(tmp_path / "a.pkl", {b"blobs": ARRAYS, b"epoch": 3}, protocol)
    theirs = pickle.loads(path.read_bytes(), encoding="latin1")["blobs"]
    model = pm.read(path)
    assert list(model.tensors) == list(theirs) and model.training is not None and model.training.epoch == 3
    for name, array in theirs.items():
        found = model.tensors[name].numpy()
        native = array.astype(array.dtype.newbyteorder("="))
        assert (found.dtype, found.shape) == (native.dtype, native.shape)
        assert found.tobytes() == native.tobytes()


@PROTOCOLS
def test_strings_are_text_where_they_are_some(tmp_path: Path, protocol: int) -> None:
    value = {"é": np.ones(1, "f4"), "name": "caf\u00e9".encode(), "raw": b"caf\xe9", b"\xe8": np.ones(2, "f4")}
    model = pm.read(saved(tmp_path / "a.pkl", value, protocol))
    assert list(model.tensors) == ["é", "è"]
    assert model.metadata["values"] == {"name": "café", "raw": b"caf\xe9"}


@PROTOCOLS
def test_numbers_and_lists(tmp_path: Path, protocol: int) -> None:
    value = [np.float32(1.5), [np.ones(2, "f4"), np.bytes_(b"tench")], np.complex64(1 - 2j), np.array(["a", "é"])]
    model = pm.read(saved(tmp_path / "a.pkl", value, protocol))
    assert list(model.tensors) == ["1.0"]
    assert model.metadata["values"] == {"0": 1.5, "1.1": b"tench", "2": 1 - 2j, "3.0": "a", "3.1": "é"}


@PROTOCOLS
def test_arrays_of_objects_are_lists(tmp_path: Path, protocol: int) -> None:
    made = np.empty((2, 1), object)
    made[:, 0] = [np.arange(2, dtype="f4"), None]
    model = pm.read(saved(tmp_path / "a.pkl", {b"w": made}, protocol))
    assert list(model.tensors) == ["w.0.0"] and model.metadata["values"] == {"w.1.0": None}


@PROTOCOLS
def test_they_are_clean(tmp_path: Path, protocol: int) -> None:
    assert pm.scan(saved(tmp_path / "a.pkl", [ARRAYS, b"\xff"], protocol)).verdict.name == "CLEAN"


@PROTOCOLS
def test_their_arrays_are_written_and_read_again(tmp_path: Path, protocol: int) -> None:
    path = saved(tmp_path / "a.pkl", ARRAYS, protocol)
    pm.convert(path, tmp_path / "a.pt")
    assert pm.diff(path, tmp_path / "a.pt").same


@PROTOCOLS
def test_damage_ends_in_own_errors(tmp_path: Path, protocol: int) -> None:
    value = {b"w": np.linspace(-1, 1, 3, dtype="f4"), b"n": b"\xff", b"s": np.float32(1.5)}
    path = saved(tmp_path / "a.pkl", value, protocol)
    assert_survives(lambda path: contents_of(torch_pickle.read(Location(path))), path)


@pytest.mark.parametrize("text", ["(c) 2020, all rights reserved.", "](x.", "}.", "class Model:\n    pass.", "c", "("])
def test_texts_are_no_pickles(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.pkl"
    path.write_text(text)
    assert not torch_pickle.sniff(Location(path))
