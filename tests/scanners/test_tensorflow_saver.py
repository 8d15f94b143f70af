from panmodel.scanners.tensorflow_saver import called_functions
from panmodel.wire.tensorflow_messages import AttrValue, ListValue, NameAttrList, NodeDef


def test_functions_are_found_in_every_attribute():
    attr = {
        "f": AttrValue(func=NameAttrList(name="one")),
        "branches": AttrValue(list=ListValue(func=[NameAttrList(name="two"), NameAttrList(name="three")])),
    }
    assert set(called_functions(NodeDef(op="Case", attr=attr))) == {"Case", "one", "two", "three"}
