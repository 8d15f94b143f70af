from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.errors import CorruptError
from panmodel.model.torch.skeleton import (
    Branch,
    Decoder,
    Leaf,
    Node,
    is_element,
    is_key,
    is_scalar,
    leaves,
    scalars,
    to_json,
)
from panmodel.wire.torch_records import TorchValue

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(), st.binary(max_size=9)
)
KEYS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
OF_TORCH = [("dtype", "uint3"), ("layout", "strided"), ("qscheme", "per_tensor_affine"), ("device", "cuda:127")]
VALUES = st.one_of(
    SCALARS, st.builds(bytearray, st.binary(max_size=9)), st.sampled_from(OF_TORCH).map(lambda of: TorchValue(*of))
)
LEAVES = st.builds(Leaf, st.sampled_from(["w", "b"]), st.booleans(), st.booleans())


def branches(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    pairs = st.lists(st.tuples(KEYS, children), max_size=3).map(tuple)
    listed = st.lists(children, max_size=3).map(lambda items: tuple(enumerate(items)))
    told = st.none() | st.dictionaries(st.text(max_size=3), st.dictionaries(st.text(max_size=3), SCALARS, max_size=2))
    kinds = st.sampled_from(["dict", "OrderedDict", "Counter", "quantized"])
    return st.one_of(
        st.builds(Branch, kinds, pairs, modules=told),
        st.builds(Branch, st.just("Size"), st.lists(st.integers(0, 9)).map(lambda sizes: tuple(enumerate(sizes)))),
        st.builds(Branch, st.just("set"), listed).filter(
            lambda made: all(is_element(child) for _, child in made.items)
        ),
        st.builds(Branch, st.just("object"), pairs, cls=st.text(max_size=5)),
        st.builds(Branch, st.sampled_from(["list", "tuple"]), listed),
    )


@given(st.recursive(VALUES | LEAVES, branches, max_leaves=12))
def test_a_skeleton_survives_json(node: Node) -> None:
    text = json.dumps(to_json(node))
    assert repr(Decoder({"w", "b"}.__contains__).node(json.loads(text))) == repr(node)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda children: (
            st.lists(children)
            | st.dictionaries(
                st.sampled_from(["dict", "list", "tensor", "float", "bytes", "complex", "class", "modules", "object"]),
                children,
            )
        ),
    )
)
def test_any_json_is_a_skeleton_or_refused(plain: object) -> None:
    try:
        node = Decoder({"w"}.__contains__).node(plain)
    except CorruptError:
        return
    assert repr(Decoder({"w"}.__contains__).node(to_json(node))) == repr(node)


@pytest.mark.parametrize(
    ("plain", "complaint"),
    [
        ({"tensor": "elsewhere"}, "not there, 'elsewhere'"),
        ({"tensor": ["w"]}, "not there"),
        ({"tensor": "w", "parameter": 1}, "other types"),
        ({"dict": [["k"]]}, "keys and values"),
        ({"dict": [[{"list": []}, 1]]}, "keys and values"),
        ({"dict": {"k": 1}}, "another form"),
        ({"OrderedDict": [], "modules": {"": 1}}, "versions of modules"),
        ({"OrderedDict": [], "modules": {"": {"version": {"list": []}}}}, "versions of modules"),
        ({"float": "many"}, "no known kind"),
        ({"bytes": "?"}, "no known kind"),
        ({"complex": ["1"]}, "no known kind"),
        ({"lambda": "x"}, "no known kind"),
        ({"dtype": "hub.load"}, "no known kind"),
        ({"dtype": "load"}, "no known kind"),
        ({"layout": "float16"}, "no known kind"),
        ({"device": "cuda:128"}, "no known kind"),
        ({"device": ["cuda"]}, "no known kind"),
        ({"bytearray": "?"}, "no known kind"),
        ({"set": [{"list": []}]}, "cannot hold"),
        ({"set": [{"tuple": [{"bytearray": ""}]}]}, "cannot hold"),
        ({"Size": [-1]}, "cannot hold"),
        ({"Size": [True]}, "cannot hold"),
        ({"dict": [[{"dtype": "float16"}, 1]]}, "keys and values"),
        ({"OrderedDict": [], "modules": {"": {"version": {"dtype": "float16"}}}}, "versions of modules"),
        ([1], "no known kind"),
        (1 << 2000, "no known kind"),
    ],
)
def test_what_is_no_skeleton_is_refused(plain: object, complaint: str) -> None:
    with pytest.raises(CorruptError, match=complaint):
        Decoder({"w"}.__contains__).node(plain)


def test_depth_is_bounded() -> None:
    plain: object = 1
    for _ in range(70):
        plain = {"list": [plain]}
    with pytest.raises(CorruptError, match="nested over 64"):
        Decoder({"w"}.__contains__).node(plain)


def test_leaves_and_values_have_their_order() -> None:
    root = Branch("dict", (("a", Leaf("x")), (1, Branch("list", ((0, Leaf("y")), (1, 2.5)))), (True, "t")))
    assert [leaf.name for leaf in leaves(root)] == ["x", "y"]
    assert list(scalars(root)) == [("1.1", 2.5), ("True", "t")]
    named = Branch(
        "dict", (("d", TorchValue("dtype", "int8")), ("e", TorchValue("device", "cpu")), ("b", bytearray(b"x")))
    )
    assert list(scalars(named)) == [("d", "torch.int8"), ("e", "cpu"), ("b", b"x")]
    assert root.get(True) == "t"
    assert root.get("b") is None


def test_values_that_are_kept() -> None:
    assert all(map(is_scalar, (None, True, 1 << 128, 1.5, 1j, "x", b"x")))
    assert not any(map(is_scalar, (1 << 5000, [], object())))
    assert not is_key(b"x")
    assert not is_key((1,))
