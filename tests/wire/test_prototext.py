import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.errors import CorruptError, LimitError, PanmodelError
from panmodel.io.source import MemorySource
from panmodel.wire.protobuf import Message, encode_bytes, mapping, repeated, single
from panmodel.wire.prototext import decode_either, decode_text, looks_like_text

COLOURS = {"RED": 0, "GREEN": 1}


class Thing(Message):
    i = single(1, "int32")
    l = single(2, "int64")  # noqa: E741
    u = single(3, "uint64")
    f = single(4, "float")
    d = single(5, "double")
    b = single(6, "bool")
    s = single(7, "string")
    data = single(8, "bytes")
    colour = single(9, "enum", enum=COLOURS)
    inner = single(10, lambda: Thing)
    many = repeated(11, lambda: Thing)
    numbers = repeated(12, "int32")
    colours = repeated(13, "enum", enum=COLOURS)
    table = mapping(14, lambda: Thing)
    blob = single(15, "blob")
    texts = repeated(16, "string")


def parse(text):
    data = text if isinstance(text, bytes) else text.encode()
    return decode_text(Thing, MemorySource(data, "thing.pbtxt"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("i: 5", Thing(i=5)),
        ("i:-5", Thing(i=-5)),
        ("i: - 5", Thing(i=-5)),
        ("i: 0x1F", Thing(i=31)),
        ("i: 017", Thing(i=15)),
        ("u: 18446744073709551615", Thing(u=(1 << 64) - 1)),
        ("f: 1.5e-3", Thing(f=0.0015)),
        ("f: 1.f", Thing(f=1.0)),
        ("f: .5", Thing(f=0.5)),
        ("f: 3", Thing(f=3.0)),
        ("f: -inf", Thing(f=-math.inf)),
        ("d: Infinity", Thing(d=math.inf)),
        ("b: true", Thing(b=True)),
        ("b: f", Thing(b=False)),
        ("b: 1", Thing(b=True)),
        ("colour: GREEN", Thing(colour=1)),
        ("colour: 7", Thing(colour=7)),
        ("s: 'a' \"b\"\n  # between\n 'c'", Thing(s="abc")),
        (r's: "\t\"\'\?\\\x41\101\u00e9\U0001F600"', Thing(s="\t\"'?\\AAé😀")),
        (r'data: "\377\0\x0\n\1018"', Thing(data=b"\xff\0\0\nA8")),
        ('s: "é"', Thing(s="é")),
        ("inner { i: 1 }", Thing(inner=Thing(i=1))),
        ("inner: < i: 1 >", Thing(inner=Thing(i=1))),
        ("many { i: 1 } many: [{ i: 2 }, < i: 3 >]", Thing(many=[Thing(i=1), Thing(i=2), Thing(i=3)])),
        ("numbers: [1, -2] numbers: 3", Thing(numbers=[1, -2, 3])),
        ("numbers: []", Thing(numbers=[])),
        ("colours: [RED, 1]", Thing(colours=[0, 1])),
        ("texts: ['a' 'b', 'c']", Thing(texts=["ab", "c"])),
        ("i: 1, l: 2; b: true", Thing(i=1, l=2, b=True)),
        ("table { value { i: 1 } key: 'x' } table { key: 'y' }", Thing(table={"x": Thing(i=1), "y": Thing()})),
        ("# nothing\n", Thing()),
        ("", Thing()),
    ],
)  # fmt: skip
def test_the_language(text, expected):
    assert parse(text) == expected


def test_nan():
    assert math.isnan(parse("f: nan").f) and math.isnan(parse("f: -nan").f)


@pytest.mark.parametrize(
    "unknown",
    [
        "x: 1",
        "x: -1.5",
        "x: 'a' 'b'",
        "x { y { z: 1 } }",
        "x: [1, {a: 'x'}]",
        "[a.b/c.d] { y: 1 }",
        "[ext.name]: 5",
        "x <>",
    ],
)
def test_unknown_fields_are_skipped(unknown):
    assert parse(f"i: 1 {unknown} l: 2 inner {{ {unknown} i: 3 }}") == Thing(i=1, l=2, inner=Thing(i=3))


def test_blobs_are_bytes_and_skipped_as_messages():
    assert parse(r'blob: "a\000b"').blob.read() == b"a\0b"
    assert not parse("blob { x: 1 } i: 1").has("blob")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("i: 'x'", 1),
        ("i: 2147483648", 1),
        ("u: -1", 1),
        ("i: 1.5", 1),
        ("i: true", 1),
        ("i 1", 1),
        ("\n\ni: 1 i: 2", 3),
        ("b: 2", 1),
        ("b: -true", 1),
        ("colour: BLUE", 1),
        ("inner: 5", 1),
        ("inner { i: 1", 1),
        ("inner { i: 1 >", 1),
        ("i: 1\n}", 2),
        ("x [", 1),
        ("x:", 1),
        ("x: { ]", 1),
        ("numbers: [1 2]", 1),
        ("s: 5", 1),
        ("s: 'a", 1),
        ("s: 'a\n'", 1),
        (r"s: '\q'", 1),
        (r"data: '\400'", 1),
        (r"s: '\xff'", 1),
        (r"s: '\ud800'", 1),
        ("\x01", 1),
        ("i: 99999999999999999999999999", 1),
    ],
)
def test_faults_are_named_with_their_line(text, line):
    with pytest.raises(CorruptError, match=rf"thing\.pbtxt line {line}\b"):
        parse(text)


def test_nesting_has_a_limit():
    for field in ("inner", "unknown"):
        with pytest.raises(LimitError):
            parse(f"{field} {{ " * 100 + "}" * 100)


def test_the_form_is_told_by_the_content():
    assert looks_like_text(Thing, b"# made by hand\ninner {")
    assert looks_like_text(Thing, b"i:1")
    assert not looks_like_text(Thing, b"other { }")
    assert not looks_like_text(Thing, b"inner")
    binary = encode_bytes(Thing(i=1, s="inner {"))
    assert decode_either(Thing, MemorySource(binary)) == decode_either(Thing, MemorySource(b'i: 1 s: "inner {"'))


def test_the_official_implementation_writes_what_is_read(tmp_path):
    onnx = pytest.importorskip("onnx")
    from google.protobuf import text_format

    class Tensor(Message):
        dims = repeated(1, "int64")
        data_type = single(2, "int32")
        name = single(8, "string")
        raw_data = single(9, "bytes")
        double_data = repeated(10, "double")

    theirs = onnx.TensorProto(
        dims=[2, 3], data_type=1, name='naïve "name"\n', raw_data=bytes(range(256)), double_data=[0.1, math.inf, -1e300]
    )
    for options in ({}, {"as_one_line": True}, {"use_short_repeated_primitives": True}, {"as_utf8": True}):
        text = text_format.MessageToString(theirs, **options).encode()
        mine = decode_text(Tensor, MemorySource(text))
        assert mine == Tensor(
            dims=[2, 3], data_type=1, name=theirs.name, raw_data=theirs.raw_data, double_data=list(theirs.double_data)
        )


@given(
    st.lists(
        st.sampled_from(["i", "inner", ":", "{", "}", "<", ">", "[", "]", "1", "-", "'a'", ",", "x", "1.5", "#", "\\"])
    )
)
def test_noise_is_read_or_refused(words):
    try:
        parse(" ".join(words))
    except PanmodelError:
        pass
    else:
        assert words.count("{") == words.count("}") or "#" in words
