"""What models are run on."""

import contextlib
import random
import zipfile

import numpy as np
import pytest

from panmodel import dtypes
from panmodel.errors import CorruptError, MissingFileError, PanmodelError, UsageError
from panmodel.model.graph import Value
from panmodel.model.symbolic import Dim
from panmodel.verify.inputs import load, load_one, random_inputs

BATCH = Dim.symbol("batch")


def test_random_inputs_fit_and_repeat():
    inputs = [
        Value("x", dtypes.FLOAT32, (BATCH, 8, Dim.symbol("w"), 1)),
        Value("i", dtypes.INT32, (BATCH,)),
        Value("b", dtypes.BOOL, ()),
    ]
    found, again = random_inputs(inputs, 1), random_inputs(inputs, 1)
    assert found["x"].shape == (2, 8, 16, 1) and found["x"].dtype == np.float32
    assert found["i"].shape == (2,) and set(found["i"].tolist()) <= {0, 1}
    assert found["x"].min() < 0 < found["x"].max() and not (found["x"] % 1 == 0).any()
    assert found["b"].dtype == bool
    assert all(np.array_equal(found[name], again[name]) for name in found)
    assert not np.array_equal(found["x"], random_inputs(inputs, 2)["x"])


@pytest.mark.parametrize("value", [Value("x", dtypes.FLOAT32, None), Value("x", dtypes.STRING, (1,))])
def test_what_cannot_be_made_up_must_be_given(value):
    with pytest.raises(UsageError, match=r"--input x=file\.npy"):
        random_inputs([value], 0)


def test_arrays_load(tmp_path):
    np.savez(tmp_path / "a.npz", **{"x:0": np.arange(3)})
    np.save(tmp_path / "b.npy", np.arange(4))
    assert load(tmp_path / "a.npz")["x:0"].tolist() == [0, 1, 2]
    assert load(tmp_path / "b.npy")[""].shape == (4,)


def test_bad_arrays_are_refused(tmp_path):
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04rest")
    (tmp_path / "text.npy").write_text("text")
    for name in ("pickled.npy", "cut.npz", "text.npy"):
        with pytest.raises(CorruptError):
            load(tmp_path / name)
    with pytest.raises(MissingFileError):
        load(tmp_path / "none.npz")


def test_one_array_is_told_from_several(tmp_path):
    np.save(tmp_path / "one.npy", np.arange(4))
    np.savez(tmp_path / "one.npz", a=np.arange(3))
    np.savez(tmp_path / "two.npz", a=np.arange(3), b=np.arange(3))
    assert load_one(tmp_path / "one.npy").tolist() == [0, 1, 2, 3]
    assert load_one(tmp_path / "one.npz").tolist() == [0, 1, 2]
    with pytest.raises(UsageError, match="holds 2 arrays"):
        load_one(tmp_path / "two.npz")


def test_other_archives_are_no_arrays(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("model/data.pkl", b"bytes")
    with pytest.raises(CorruptError, match=r"model/data\.pkl"):
        load(tmp_path / "model.pt")


def test_a_negative_seed_is_refused():
    with pytest.raises(UsageError, match="a seed is 0 or more"):
        random_inputs([Value("x", dtypes.FLOAT32, (1,))], -1)


HEADERS = [f"{{'descr':'<f4','fortran_order':False,'shape':({size},)}}\n" for size in ("-5", "2.0", "'a'", "10**12")]
HEADERS += ["[" * 2000, "{'descr':'<f4'", "{'descr':'|O','fortran_order':False,'shape':(1,)}\n"]


@pytest.mark.parametrize("header", HEADERS)
def test_headers_that_numpy_stumbles_over(header, tmp_path):
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
    with pytest.raises(CorruptError):
        load(tmp_path / "a.npy")


def test_damaged_archives_are_refused_or_read(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.ones((3, 4), np.float32), b=np.arange(5))
    whole, chance = (tmp_path / "a.npz").read_bytes(), random.Random(0)
    for _ in range(500):
        place = chance.randrange(len(whole))
        (tmp_path / "b.npz").write_bytes(whole[:place] + bytes([chance.randrange(256)]) + whole[place + 1 :])
        with contextlib.suppress(PanmodelError):
            load(tmp_path / "b.npz")
