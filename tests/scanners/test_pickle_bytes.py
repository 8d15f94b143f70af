"""Large pickles, most of which stays on disk; Python's own pickles and codecs are the judges."""

import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scanned import CLEAN, DANGEROUS, UNDECIDED, rules_of, scan_bytes

from panmodel.io.source import Extent, MemorySource
from panmodel.scan import scan
from panmodel.scanners.pickle_bytes import ENCODE, EncodedText, FileBytes, bytes_in, content_of
from panmodel.wire.pickle import Object

LARGE = 17 << 20  # bytes, and more than are read at once
SYSTEM = b"cposix\nsystem\nX\x04\x00\x00\x00true\x85R"
LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)


def stored(data, code=b"\x8e"):
    return code + struct.pack("<Q", len(data)) + data


def text(data):
    encoded = data.decode("latin-1").encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def encoded(data):
    return b"c_codecs\nencode\n" + text(data) + b"X\x06\x00\x00\x00latin1\x86R"


PLACES = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 5000)))
LOAD = b"ctorch.storage\n_load_from_bytes\n"
ZEROS = stored(bytes(LARGE)) + b"0"
INNER = b"\x80\x02" + SYSTEM + b"." + bytes(1 << 17)


@given(st.binary(max_size=300), st.integers(0, 4000), PLACES)
def test_text_becomes_the_bytes_that_latin1_makes_of_it(piece, times, places):
    data = piece * times
    source = EncodedText(Extent(MemorySource(b"<" + data.decode("latin-1").encode() + b">"), 1, len(text(data)) - 5))
    assert source.size == len(data)
    for begin, count in places:
        begin = min(begin, len(data))
        assert source.read(begin, min(count, len(data) - begin)) == data[begin : begin + count]


@given(st.binary(max_size=40))
def test_text_that_is_broken_has_as_many_bytes_as_it_says(data):
    source = EncodedText(Extent(MemorySource(data), 0, len(data)))
    assert len(source.read(0, source.size)) == source.size


def test_only_large_files_stay_on_disk():
    assert bytes_in(MemorySource(b"abc")) == b"abc"
    assert isinstance(bytes_in(MemorySource(bytes(LARGE))), FileBytes)


def test_what_is_encoded_otherwise_is_no_content():
    assert content_of(Object(ENCODE, ("\xff", "latin1"))).read(0, 1) == b"\xff"
    for value in (Object(ENCODE, ("a", "rot13")), Object(ENCODE, ("a", "latin1", "ignore")), Object("a", ("a",)), 5):
        assert content_of(value) is None


HOSTILE = {
    "behind large bytes": b"\x80\x04" + ZEROS + SYSTEM + b".",
    "before large bytes": b"\x80\x04" + SYSTEM + ZEROS + b"N.",
    "second pickle": b"\x80\x04" + ZEROS + b"N.\x80\x02" + SYSTEM + b".",
    "between raw numbers": b"\x80\x02N." + bytes(LARGE) + b"\x80\x02" + SYSTEM + b"." + bytes(8),
    "across pieces of the search": b"\x80\x02N." + bytes((4 << 20) - 1) + b"\x80\x02" + SYSTEM + b"." + bytes(LARGE),
    "without a mark": b"(" + ZEROS + SYSTEM + b"l.",
    "long dotted name": b"\x80\x04" + ZEROS + b"\x8c\x05torch" + text(b"_VF." * 20_000 + b"sys") + b"\x93.",
    "long dotted name of Python 2": b"\x80\x04" + ZEROS + b"U\x05torchT\0\0\4\0" + b"a.bc" * (1 << 16) + b"\x93.",
    "nested bytes": b"\x80\x04" + ZEROS + stored(INNER) + b".",
    "nested array of bytes": b"\x80\x05" + ZEROS + stored(INNER, b"\x96") + b".",
    "nested byte string": b"\x80\x02" + ZEROS + b"T" + struct.pack("<I", len(INNER)) + INNER + b".",
    "nested encoded text": b"\x80\x02" + ZEROS + encoded(INNER) + b".",
    "storage": b"\x80\x04" + ZEROS + LOAD + stored(LEGACY + INNER) + b"\x85R.",
    "encoded storage": b"\x80\x02" + ZEROS + LOAD + encoded(LEGACY + INNER) + b"\x85R.",
    "large storage": b"\x80\x04" + LOAD + stored(LEGACY + INNER + bytes(LARGE)) + b"\x85R.",
    "storage of something else": b"\x80\x04" + LOAD + stored(bytes(LARGE)) + b"\x85R.",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_would_execute_is_found_in_large_files(tmp_path, kind):
    assert scan_bytes(tmp_path, HOSTILE[kind]).verdict is DANGEROUS


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_are_clean_however_large(tmp_path, protocol):
    values = {"a": np.arange(LARGE // 4, dtype=np.float32), "b": np.full(1 << 17, 0x0280, "<u2"), "c": bytearray(LARGE)}
    values["text"] = "\u20ac" * (1 << 17)
    assert scan_bytes(tmp_path, pickle.dumps(values, protocol=protocol)).verdict is CLEAN


@pytest.mark.parametrize("protocol", range(6))
def test_tensors_outside_of_torch_save_are_clean(tmp_path, protocol):
    torch = pytest.importorskip("torch")
    values = {"w": torch.arange(5.0), "large": torch.arange(LARGE // 4, dtype=torch.float32)}
    assert scan_bytes(tmp_path, pickle.dumps(values, protocol=protocol)).verdict is CLEAN


def test_what_follows_a_large_pickle_is_undecided(tmp_path):
    found = scan_bytes(tmp_path, b"\x80\x04" + ZEROS + b"N." + b"something")
    assert (found.verdict, rules_of(found)) == (UNDECIDED, {"PM-PICKLE-TRAILING"})


def test_a_cut_is_undecided(tmp_path):
    assert scan_bytes(tmp_path, pickle.dumps(np.zeros(LARGE // 8))[:-100]).verdict is UNDECIDED


def test_memory_is_bounded(tmp_path):
    path, nbytes = tmp_path / "a.pkl", 3 << 30
    with open(path, "wb") as file:
        file.write(b"\x80\x04]" + b"\x8e" + struct.pack("<Q", nbytes))
        file.seek(nbytes, 1)
        file.write(b"a" + SYSTEM + b"a.")
    tracemalloc.start()
    try:
        assert scan(path).verdict is DANGEROUS
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
