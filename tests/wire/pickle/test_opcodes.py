"""Each opcode by itself, against CPython's list of them and its own unpickler."""

import codecs
import pickle
import pickletools
import struct
import warnings

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from panmodel.errors import CorruptError, LimitError, TruncatedError, UnsafeError
from panmodel.wire.pickle import Global, Machine, Object, stored_bytes
from panmodel.wire.pickle.opcodes import HIGHEST_PROTOCOL, STOP, TABLE


def run(data, **options):
    return Machine(data, where="a.pkl", **options).run()


def test_the_opcodes_are_those_of_cpython():
    theirs = {ord(opcode.code) for opcode in pickletools.opcodes if opcode.proto <= HIGHEST_PROTOCOL}
    assert {code for code, operation in enumerate(TABLE) if operation is not None} == theirs - {STOP}


@pytest.mark.parametrize("code", sorted(set(range(256)) - {ord(opcode.code) for opcode in pickletools.opcodes}))
def test_bytes_that_are_no_opcode_are_refused(code):
    with pytest.raises(CorruptError):
        run(bytes([code]) + b"N.")


VALUES = {
    b"I-12\n": -12,
    b"I00\n": False,
    b"I01\n": True,
    b"L99999999999L\n": 99999999999,
    b"F-1e3\n": -1000.0,
    b"J\xfe\xff\xff\xff": -2,
    b"K\xff": 255,
    b"M\xff\xff": 65535,
    b"\x8a\x00": 0,
    b"\x8a\x02\x00\x80": -32768,
    b"\x8b\x02\x00\x00\x00\xff\x00": 255,
    b"G\xc0\x04\x00\x00\x00\x00\x00\x00": -2.5,
    b"S'a\\x41\\n'\n": "aA\n",
    b'S"it\'s"\n': "it's",
    b"T\x02\x00\x00\x00ab": "ab",
    b"U\x02ab": "ab",
    b"B\x02\x00\x00\x00\xff\x00": b"\xff\x00",
    b"C\x01\xff": b"\xff",
    b"\x8e\x01" + bytes(7) + b"\xff": b"\xff",
    b"\x96\x01" + bytes(7) + b"\xff": bytearray(b"\xff"),
    b"Va\\u00e9\n": "aé",
    b"X\x02\x00\x00\x00\xc3\xa9": "é",
    b"\x8c\x02\xc3\xa9": "é",
    b"\x8d\x02" + bytes(7) + b"\xc3\xa9": "é",
    b"(K\x01K\x02l": [1, 2],
    b"(K\x01K\x02t": (1, 2),
    b"(K\x01K\x02d": {1: 2},
    b"K\x01\x85": (1,),
    b"K\x01K\x02\x86": (1, 2),
    b"K\x01K\x02K\x03\x87": (1, 2, 3),
    b"(K\x01K\x01\x91": frozenset([1]),
    b"]K\x01a": [1],
    b"](K\x01K\x02e": [1, 2],
    b"}K\x01K\x02s": {1: 2},
    b"}(K\x01K\x02K\x03K\x04u": {1: 2, 3: 4},
    b"\x8f(K\x01K\x02\x90": {1, 2},
    b"K\x01K\x020": 1,
    b"K\x01(K\x021": 1,
    b"K\x01(0": 1,
    b"K\x012\x86": (1, 1),
    b"K\x07p12\n0g12\n": 7,
    b"K\x07q\x050h\x05": 7,
    b"K\x07r\x05\x00\x00\x000j\x05\x00\x00\x00": 7,
    b"K\x07\x940h\x00": 7,
}


@pytest.mark.parametrize("data", VALUES)
def test_values_are_those_of_python(data):
    want = VALUES[data]
    theirs = pickle.loads(data + b".", encoding="utf-8")
    found = run(data + b".")
    assert theirs == found == want
    assert type(theirs) is type(found) is type(want)


@given(st.integers())
def test_long_integers(number):
    size = number.bit_length() // 8 + 1
    data = number.to_bytes(size, "little", signed=True)
    assert run(b"\x8b" + struct.pack("<i", size) + data + b".") == number
    assert run(b"L%dL\n." % number) == number


@given(st.lists(st.sampled_from([rb"\\", b"\\", b"x41", b"n", b"q", b"0", b"3", b"7", b"\\400", b"\xff"])))
@example([b"\\q", rb"\\", b"\\777", b"\\477a"])
def test_escapes_that_mean_nothing_stay_and_nobody_is_warned(parts):
    text = b"".join(parts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            want = codecs.escape_decode(text)[0].decode("latin-1")
        except ValueError:
            want = None
        warnings.simplefilter("error")
        if want is None:
            with pytest.raises(CorruptError, match="escape"):
                run(b"S'" + text + b"'\n.", string_encoding="latin-1")
        else:
            assert run(b"S'" + text + b"'\n.", string_encoding="latin-1") == want


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (b"\x80\x06N.", CorruptError, "protocol 6"),
        (b"S'a\n.", CorruptError, "quotes"),
        (b"S'\\x4'\n.", CorruptError, "escape"),
        (b"I1_x\n.", CorruptError, "no integer"),
        (b"I009\n.", CorruptError, "no integer"),
        (b"F1_0\n.", CorruptError, "no number"),
        (b"X\x01\x00\x00\x00\xff.", CorruptError, "utf-8"),
        (b"K\x01p-1\n.", CorruptError, "negative memo"),
        (b"h\x05.", CorruptError, "memo"),
        (b"\x85.", CorruptError, "underflow"),
        (b"(o.", CorruptError, "underflow"),
        (b"K\x01K\x02\x93.", CorruptError, "no string"),
        (b"\x97.", CorruptError, "buffer"),
        (b"\x95\x50" + bytes(7) + b"N.", TruncatedError, "80"),
        (b"c" + b"m" * 70_000 + b"\nn\n.", CorruptError, "no module has a name of 70000 bytes"),
        (b"cm\n" + b"n." * 35_000 + b"\n.", LimitError, "70000 bytes"),
        (b"\x82\x01.", UnsafeError, "registry"),
        (b"U\x05ab.", TruncatedError, "5"),
    ],
)
def test_damage_is_named(data, error, said):
    with pytest.raises(error, match=said):
        run(data)


def test_a_frame_begins_outside_of_another():
    inner = b"\x95\x01" + bytes(7) + b"N"
    with pytest.raises(CorruptError, match="within another"):
        run(b"\x95" + struct.pack("<Q", len(inner) + 1) + inner + b"0N.")


@pytest.mark.parametrize(
    ("data", "called", "kwargs"),
    [
        (b"cm\nC\nK\x01\x85R.", True, {}),
        (b"cm\nC\nK\x01\x85\x81.", False, {}),
        (b"\x8c\x01m\x8c\x01C\x93K\x01\x85}\x8c\x01kK\x02s\x92.", False, {"k": 2}),
        (b"(K\x01im\nC\n.", True, {}),
        (b"(cm\nC\nK\x01o.", True, {}),
    ],
)
def test_calls_become_records(data, called, kwargs):
    found = run(data)
    assert isinstance(found, Object)
    assert (found.cls, found.args, found.kwargs, found.called) == (Global("m", "C"), (1,), kwargs, called)


@pytest.mark.parametrize("code", [b"U\x02%b", b"T\x02\0\0\0%b", b"S'%b'\n"])
def test_byte_strings_are_text_or_bytes(code):
    assert run(code % b"ab" + b".") == "ab" and type(run(code % b"ab" + b".")) is str
    text = run(code % "é".encode() + b".")
    assert (text, stored_bytes(text)) == ("é", "é".encode())
    assert run(code % b"\xe9\xe8" + b".") == b"\xe9\xe8"


def test_byte_strings_have_the_encoding_that_the_caller_says():
    assert Machine(b"U\x01\xe9.", where="", string_encoding="latin-1").run() == "é"
