"""Writing, and that the official implementation reads what is written and writes what is read."""

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from panmodel.errors import CorruptError
from panmodel.io.source import Extent, MemorySource
from panmodel.model.tensor import ArrayTensor
from panmodel.wire.protobuf import (
    Message,
    Numbers,
    decode_bytes,
    encode,
    encode_bytes,
    encoded_size,
    mapping,
    repeated,
    single,
)

KINDS = {
    "int32": st.integers(-(1 << 31), (1 << 31) - 1),
    "int64": st.integers(-(1 << 63), (1 << 63) - 1),
    "uint32": st.integers(0, (1 << 32) - 1),
    "uint64": st.integers(0, (1 << 64) - 1),
    "bool": st.booleans(),
    "fixed32": st.integers(0, (1 << 32) - 1),
    "fixed64": st.integers(0, (1 << 64) - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "string": st.text(max_size=5),
    "bytes": st.binary(max_size=200),
}


class Everything(Message):
    inner = single(100, lambda: Everything)
    inners = repeated(2000, lambda: Everything)
    table = mapping(101, lambda: Everything)
    counts = mapping(102, "int64")
    for number, kind in enumerate(KINDS, 1):
        locals()[f"one_{kind}"] = single(number, kind)
        locals()[f"many_{kind}"] = repeated(number + 20, kind)
    del number, kind


class Payloads(Message):
    blob = single(1, "blob")
    numbers = repeated(2, "float", numbers=True)
    after = single(3, "int32")


@pytest.fixture(scope="module")
def official():
    """The same message, declared to Google's implementation."""
    file = descriptor_pb2.FileDescriptorProto(name="everything.proto", package="judge", syntax="proto2")
    message = file.message_type.add(name="Everything")
    for known in Everything.fields.values():
        field = message.field.add(name=known.name, number=known.number, label=3 if known.repeated else 1)
        if known.kind == "map":
            entry = message.nested_type.add(name=known.name.title() + "Entry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, label=1, type=9)
            value = entry.field.add(name="value", number=2, label=1, type=3 if known.name == "counts" else 11)
            if known.name == "table":
                value.type_name = ".judge.Everything"
            field.type, field.type_name = 11, f".judge.Everything.{entry.name}"
        elif known.kind == "message":
            field.type, field.type_name = 11, ".judge.Everything"
        else:
            field.type = getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{known.kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("judge.Everything"))


flat = st.fixed_dictionaries(
    {},
    optional={f"one_{kind}": values for kind, values in KINDS.items()}
    | {f"many_{kind}": st.lists(values, min_size=1, max_size=3) for kind, values in KINDS.items()},
)
trees = st.recursive(
    flat,
    lambda inner: st.tuples(
        flat,
        inner,
        st.lists(inner, min_size=1, max_size=2),
        st.dictionaries(st.text(max_size=3), inner, min_size=1, max_size=2),
    ).map(lambda parts: {**parts[0], "inner": parts[1], "inners": parts[2], "table": parts[3]}),
    max_leaves=4,
)


def build(values):
    found = dict(values)
    if "inner" in found:
        found["inner"] = build(found["inner"])
        found["inners"] = [build(inner) for inner in found["inners"]]
        found["table"] = {key: build(inner) for key, inner in found["table"].items()}
    return Everything(**found)


@given(values=trees)
def test_the_official_implementation_agrees(official, values):
    message = build(values)
    data = encode_bytes(message)
    assert len(data) == encoded_size(message)
    theirs = official.FromString(data)
    again = decode_bytes(Everything, theirs.SerializeToString(deterministic=True))
    assert again == message
    assert encode_bytes(decode_bytes(Everything, data)) == data  # nothing looked at
    assert encode_bytes(again) == data  # everything looked at


def test_payloads_are_streamed_from_where_they_lie():
    tensor = ArrayTensor(np.arange(3, dtype=np.int16))
    message = Payloads(blob=tensor, numbers=Numbers.of("float", np.array([1.0, 2.0])), after=-1)
    data = b"".join(encode(message))
    assert data[:8] == b"\x0a\x06" + tensor.numpy().tobytes() and len(data) == encoded_size(message)
    again = decode_bytes(Payloads, data)
    assert again.blob.read() == tensor.numpy().tobytes()
    assert again.numbers.array().tolist() == [1, 2] and again.after == -1
    assert encode_bytes(again) == data


def test_a_payload_that_lies_about_its_size_is_refused():
    class Liar:
        nbytes = 4

        def chunks(self):
            yield memoryview(b"abc")

    with pytest.raises(CorruptError, match="4 bytes gave 3"):
        encode_bytes(Payloads(blob=Liar()))


def test_large_payloads_are_not_gathered():
    source = MemorySource(bytes(10 << 20))
    pieces = [len(piece) for piece in encode(Payloads(blob=Extent(source, 0, source.size), after=1))]
    assert sum(pieces) == (10 << 20) + 7 and max(pieces) <= 4 << 20


def test_replacing_fields_keeps_the_rest():
    message = decode_bytes(
        Everything, encode_bytes(Everything(one_string="a", inner=Everything(one_bool=True), many_int32=[1]))
    )
    changed = message.replaced(one_string="b", many_int32=None)
    assert changed == Everything(one_string="b", inner=Everything(one_bool=True))
    assert message.one_string == "a"
