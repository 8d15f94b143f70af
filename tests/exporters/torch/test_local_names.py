import ast

from panmodel.dtypes import BOOL, FLOAT32, INT64
from panmodel.exporters.torch.local_names import Locals
from panmodel.model.graph import Value


def value(name, dtype=FLOAT32):
    return Value(name, dtype, (2,))


def test_arguments_of_a_model_keep_their_names():
    names = Locals(["_v0", "_v1"], [value("scope/ids:0", INT64), value("class")], is_model=True)
    assert names.arguments == ["scope_ids", "class_"]
    assert Locals(["_v0"], [value("input_1:0")], is_model=True).arguments == ["x"]


def test_arguments_of_a_class_say_what_they_are():
    values = [value("a"), value("b", BOOL), value("c", INT64), value("d"), value("e", INT64)]
    names = Locals([f"_v{at}" for at in range(5)], values, is_model=False)
    assert names.arguments == ["x", "mask", "index", "y", "index_2"]


def test_a_name_is_used_again_when_nobody_needs_its_value():
    names = Locals(["_v0"], [value("x")], is_model=True)
    assert names.assign(["_v1"], [value("a")], ["conv"], ["_v0"], set()) == "x"
    assert names.assign(["_v2"], [value("b")], ["conv"], ["_v1"], {"_v1"}) == "y"
    # of another kind
    assert names.assign(["_v3"], [value("c", INT64)], ["arg_max"], ["_v2"], {"_v1"}) == "arg_max"
    assert names.assign(["_v4", None], [value("d"), None], ["top", "top"], ["_v1"], {"_v3"}) == "x, _"
    assert {key: ast.unparse(name) for key, name in names.replacements.items()}["_v4"] == "x"


def test_two_values_that_live_have_two_names():
    names, live = Locals(["_v0"], [value("x")], is_model=True), {"_v0"}
    given = []
    for at in range(1, 8):
        given.append(names.assign([f"_v{at}"], [value("a")], ["mul"], ["_v0"], set(live)))
        live.add(f"_v{at}")
    assert len({"x", *given}) == 8
