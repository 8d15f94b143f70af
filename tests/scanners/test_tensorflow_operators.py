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


def test_the_list_is_that_of_both_versions():
    assert {"Conv2D", "BoostedTreesCenterBias", "StatefulPartitionedCall", "XlaCustomCallV2"} <= registered()
