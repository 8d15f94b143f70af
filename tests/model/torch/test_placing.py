from __future__ import annotations

import numpy as np
import pytest

from panmodel.errors import UnsupportedError
from panmodel.model.tensor import ArrayTensor, Tensor
from panmodel.model.torch.placing import placed
from panmodel.model.torch.skeleton import Branch, Key, Leaf, Node
from panmodel.wire.pickle import Dictionary
from panmodel.wire.torch_records import Sizes
from panmodel.wire.torch_writing import MetaTensor, NestedTensor, PlainTensor, QuantizedTensor, SetOf, SparseTensor

CODES = ArrayTensor(np.zeros(3, np.int8))
WEIGHT = ArrayTensor(np.zeros(3, np.float32))
SIZE = Branch("tuple", ((0, 3),))


def branch(kind: str, **items: Node) -> Branch:
    pairs: tuple[tuple[Key, Node], ...] = tuple(items.items())
    return Branch(kind, pairs)


def test_tensors_come_into_their_places() -> None:
    state = Branch("OrderedDict", (("w", Leaf("w", True, True)),), modules={"": {"version": 1}})
    root = branch("dict", state=state, n=3, args=Branch("object", (("lr", 0.1),), cls="argparse.Namespace"))
    made = placed(root, {"w": WEIGHT}, "a.pt")
    assert made == {"state": {"w": PlainTensor("w", WEIGHT, True, True)}, "n": 3, "args": {"lr": 0.1}}
    assert isinstance(made, dict)
    assert isinstance(made["state"], Dictionary)
    assert made["state"].attributes == {"_metadata": {"": {"version": 1}}}
    listed = Branch("list", ((0, Branch("tuple", ((0, 1),))), (1, Branch("set", ((0, 2),)))))
    assert placed(listed, {}, "a.pt") == [(1,), SetOf((2,))]
    assert placed(Leaf("w"), {"w": WEIGHT}, "a.pt") == PlainTensor("w", WEIGHT)
    found = placed(branch("dict", c=Branch("Counter", (("x", 2),)), s=Branch("Size", ((0, 2),))), {}, "a.pt")
    assert found == {"c": {"x": 2}, "s": (2,)} and isinstance(found, dict)
    assert isinstance(found["c"], Dictionary) and found["c"].kind == "Counter" and isinstance(found["s"], Sizes)


def test_tensors_without_a_place_are_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"no place in the structure.*: v"):
        placed(branch("dict", w=Leaf("w")), {"w": WEIGHT, "v": WEIGHT}, "a.pt")


def test_tensors_of_several_parts() -> None:
    tensors: dict[str, Tensor] = {"q": CODES, "s": WEIGHT, "i": CODES}
    leaf = PlainTensor("q", CODES)
    told = {"data": Leaf("q"), "dtype": "qint8", "scheme": "per_tensor_affine", "scale": 0.5, "zero_point": 1}
    assert placed(branch("quantized", **told, axis=None), {"q": CODES}, "a.pt") == QuantizedTensor(
        leaf, "qint8", "per_tensor_affine", (0.5, 1)
    )
    coo = branch("sparse", layout="sparse_coo", size=SIZE, coalesced=True, indices=Leaf("i"), values=Leaf("s"))
    parts = (PlainTensor("i", CODES), PlainTensor("s", WEIGHT))
    made = placed(branch("dict", q=Leaf("q"), s=coo), tensors, "a.pt")
    assert made == {"q": leaf, "s": SparseTensor("sparse_coo", parts, (3,), True)}
    names = dict.fromkeys(("buffer", "sizes", "strides", "offsets"), Leaf("s"))
    assert placed(branch("nested", **names), {"s": WEIGHT}, "a.pt") == NestedTensor((PlainTensor("s", WEIGHT),) * 4)
    assert placed(branch("meta", dtype="float16", size=SIZE, stride=SIZE), {}, "a.pt") == MetaTensor(
        "float16", (3,), (3,)
    )


@pytest.mark.parametrize(
    "node",
    [
        branch("quantized", data=1, dtype="qint8", scheme="per_tensor_affine", scale=0.5, zero_point=1),
        branch("quantized", data=Leaf("w"), dtype="qint8", scheme="per_tensor_affine", scale=0.5, zero_point=1),
        branch("quantized", data=Leaf("q"), dtype="qint8", scheme="other", scale=0.5, zero_point=1),
        branch("quantized", data=Leaf("q"), dtype="qint8", scheme="per_channel_affine", scale=0.5, zero_point=1),
        branch("quantized", data=Leaf("q"), dtype="float32", scheme="per_tensor_affine", scale=0.5, zero_point=1),
        branch("sparse", layout="sparse_coo", size=SIZE, indices=Leaf("q")),
        branch("sparse", layout="os.system", size=SIZE, indices=Leaf("q"), values=Leaf("w")),
        branch("sparse", layout="sparse_coo", size=None, indices=Leaf("q"), values=Leaf("w")),
        branch("sparse", layout="sparse_coo", size=Branch("tuple", ((0, -1),)), indices=Leaf("q"), values=Leaf("w")),
        branch("nested", buffer=Leaf("w")),
        branch("meta", dtype="system", size=SIZE, stride=SIZE),
        branch("meta", dtype="float16", size=SIZE, stride=3),
    ],
)
def test_what_is_described_in_another_form_is_refused(node: Branch) -> None:
    root = branch("dict", t=node, q=Leaf("q"), w=Leaf("w"))
    with pytest.raises(UnsupportedError, match=r"in another form|quantized in a way|whose integers are"):
        placed(root, {"q": CODES, "w": WEIGHT}, "a.pt")
