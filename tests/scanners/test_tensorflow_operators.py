import pytest

from panmodel.scanners.tensorflow_operators import CODE, DECODER, FILE, judge, registered
from panmodel.wire.tensorflow_messages import AttrValue, NodeDef


def test_operators_are_judged_by_name():
    assert judge(NodeDef(op="Conv2D")) is None
    assert judge(NodeDef(op="ReadFile")) == (FILE, "ReadFile")
    assert judge(NodeDef(op="EagerPyFunc")) == (CODE, "EagerPyFunc")
    assert judge(NodeDef(op="DecodeJpeg")) == (DECODER, "DecodeJpeg")


def test_schemas_in_files_are_files():
    node = NodeDef(op="DecodeProtoV2", attr={"descriptor_source": AttrValue(s=b"/etc/x")})
    assert judge(node)[0] is FILE


@pytest.mark.parametrize(
    ("op", "attribute"),
    [
        ("ImmutableConst", "memory_region_name"),
        ("Skipgram", "filename"),
        ("FixedUnigramCandidateSampler", "vocab_file"),
        ("PrintV2", "output_stream"),
    ],
)
def test_what_an_attribute_names_is_read_or_written(op, attribute):
    assert judge(NodeDef(op=op, attr={attribute: AttrValue(s=b"file:///etc/passwd")}))[0] is FILE
    assert judge(NodeDef(op=op, attr={attribute: AttrValue(placeholder="given")}))[0] is FILE
    assert judge(NodeDef(op=op, attr={attribute: AttrValue(s=b"")})) is None


def test_parts_of_the_own_file_are_none():
    assert (
        judge(NodeDef(op="ImmutableConst", attr={"memory_region_name": AttrValue(s=b"memmapped_package://a")})) is None
    )


def test_the_list_is_that_of_both_versions():
    assert {"Conv2D", "BoostedTreesCenterBias", "StatefulPartitionedCall", "XlaCustomCallV2"} <= registered()
