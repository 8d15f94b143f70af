from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.dtypes import ALL, STRING
from panmodel.errors import CorruptError, LimitError, PanmodelError, TruncatedError, UnsafeError, UnsupportedError
from panmodel.wire.npy import LONGEST, MAGIC, make_header, read_header


def saved(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def header(text: str) -> bytes:
    return MAGIC + b"\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin-1")


def described(shape: str = "(3,)", descr: str = "'<f4'", order: str = "False") -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n")


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_is_read(version):
    found = read_header(saved(np.zeros((2, 3), ">i2"), version), "x")
    assert (found.dtype.name, found.shape, found.big_endian, found.fortran_order) == ("int16", (2, 3), True, False)
    assert (found.begin, found.nbytes) == (128, 12)


@pytest.mark.parametrize("text", ["(3, )\n", "x {'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n"])
def test_a_header_is_a_dictionary_from_its_beginning(text):
    with pytest.raises(CorruptError, match="no dictionary"):
        read_header(header(text), "x")


def test_the_order_of_axes_counts_only_where_there_are_several():
    assert read_header(saved(np.asfortranarray(np.zeros((2, 3)))), "x").fortran_order
    assert not read_header(described("(3, 1)", order="True"), "x").fortran_order


@pytest.mark.parametrize("name", [name for name, dtype in ALL.items() if dtype.bits])
def test_every_type_comes_back_and_numpy_reads_what_it_knows(name):
    data = make_header(ALL[name], (2, 3))
    found = read_header(data, "x")
    assert (found.dtype, found.shape, found.begin, found.assumed) == (ALL[name], (2, 3), len(data), False)
    loaded = np.load(io.BytesIO(data + bytes(found.nbytes)), allow_pickle=False)
    assert loaded.shape == (2, 3)
    assert len(data) % 64 == 0


def test_bytes_without_a_type_are_taken_as_the_likeliest():
    pair, single = (read_header(described(descr=f"'{descr}'"), "x") for descr in ("|V2", "<V1"))
    assert (pair.dtype.name, pair.assumed) == ("bfloat16", True)
    assert (single.dtype.name, single.assumed) == ("uint8", True)


def test_strings_have_a_width():
    text, data = read_header(saved(np.array(["ab", "c"])), "x"), read_header(saved(np.array([b"abc"])), "x")
    assert (text.dtype, text.width, data.width) == (STRING, 8, 3)


def test_numbers_may_be_written_as_by_python_2():
    assert read_header(described("(3L, 4L)"), "x").shape == (3, 4)
    assert read_header(described("()"), "x").shape == ()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPZ" + bytes(20),
        described("(3)"),
        described("3"),
        described("(3,,4)"),
        described("(-1,)"),
        described("(True,)"),
        described("(3,) + (4,)"),
        described(order="None"),
        described(descr="'nonsense'"),
        described(descr="True"),
        described("(9999999999, 9999999999)"),
        header("{'descr': '<f4', 'shape': (3,)}"),
        header("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (3,)}"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'more': 1}"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)} or 1"),
        header("__import__('os')"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': ()} # panmodel {\"dtype\": \"bfloat16\"}"),
        header("{'descr': '<V2', 'fortran_order': False, 'shape': ()} # panmodel {]"),
        header("{'descr': '<V2', 'fortran_order': False, 'shape': ()} # panmodel {\"dtype\": 1}"),
    ],
)
def test_broken_headers_are_refused(data):
    with pytest.raises(CorruptError):
        read_header(data, "x")


def test_what_no_model_has_is_refused_by_name():
    with pytest.raises(UnsafeError, match="pickled"):
        read_header(described(descr="'|O'"), "x")
    with pytest.raises(UnsupportedError, match="several fields"):
        read_header(described(descr="[('a', '<f4'), ('b', '<i4')]"), "x")
    for descr in ("<M8[ns]", "<m8[25s]", "<f16", "<c32", "|V7", "<i3"):
        with pytest.raises(UnsupportedError, match="type"):
            read_header(described(descr=f"'{descr}'"), "x")
    for descr in ("<f4[ns]", "<M8[]"):
        with pytest.raises(CorruptError, match="is no type of numpy"):
            read_header(described(descr=f"'{descr}'"), "x")


def test_limits_hold():
    with pytest.raises(LimitError, match="dimensions"):
        read_header(described("(" + "1, " * 65 + ")"), "x")
    with pytest.raises(LimitError, match="header"):
        read_header(MAGIC + b"\x02\x00" + (LONGEST + 1).to_bytes(4, "little"), "x")
    with pytest.raises(TruncatedError):
        read_header(described()[:40], "x")
    with pytest.raises(UnsupportedError, match=r"4\.0"):
        read_header(MAGIC + b"\x04\x00" + bytes(100), "x")


@given(st.text(alphabet="{}()[]'\",: TrueFalse#0123456789descrshapefortran_order<f4L\n", max_size=200))
def test_no_text_does_harm(text):
    with contextlib.suppress(PanmodelError):
        read_header(header(text), "x")


@given(st.text(max_size=50))
def test_names_come_back(name):
    data = make_header(ALL["int4"], (), extra={"name": name})
    assert read_header(data, "x").extra == {"name": name, "dtype": "int4"}
    np.load(io.BytesIO(data + b"\0"), allow_pickle=False)


@pytest.mark.parametrize("length", range(65_300, 65_560, 7))
def test_long_headers_have_the_version_with_a_long_length(length):
    data = make_header(ALL["float32"], (3,), extra={"name": "x" * length})
    size = 2 if data[6] == 1 else 4
    assert len(data) % 64 == 0
    assert int.from_bytes(data[8 : 8 + size], "little") == len(data) - 8 - size
