import time

from tests.scanned import rules_of, scan_bytes

from panmodel.scanners.tensorflow_saver import called_functions
from panmodel.wire.protobuf import encode
from panmodel.wire.tensorflow_messages import AttrValue, GraphDef, ListValue, NameAttrList, NodeDef


def test_functions_are_found_in_every_attribute():
    attr = {
        "f": AttrValue(func=NameAttrList(name="one")),
        "branches": AttrValue(list=ListValue(func=[NameAttrList(name="two"), NameAttrList(name="three")])),
    }
    assert set(called_functions(NodeDef(op="Case", attr=attr))) == {"Case", "one", "two", "three"}


def test_long_names_take_no_more_time_than_they_are_long(tmp_path):
    nodes = [NodeDef(name="/" * 60_000 + str(number), op="NoOp") for number in range(50)]
    graph = GraphDef(node=[NodeDef(name="x/save_1/y", op="SaveV2"), *nodes])
    begin = time.process_time()
    found = scan_bytes(tmp_path, b"".join(bytes(piece) for piece in encode(graph)))
    assert time.process_time() - begin < 20
    assert rules_of(found) == {"PM-TF-SAVER"}
