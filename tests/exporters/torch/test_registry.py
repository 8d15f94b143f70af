import pytest

from panmodel.errors import UnsupportedError
from panmodel.exporters.torch.registry import exporter_op, handler_of, handlers
from panmodel.model.graph import Node


def node(op, domain=""):
    return Node(op, (), (), {}, "", domain)


def test_the_newest_handler_that_the_opset_knows():
    versions = handlers()["Softmax"]
    assert set(versions) == {1, 13}
    assert handler_of(node("Softmax"), 12) is versions[1]
    assert handler_of(node("Softmax"), 13) is versions[13]
    assert handler_of(node("Softmax"), 99) is versions[13]


@pytest.mark.parametrize(
    ("asked", "opset", "why"),
    [(node("Nothing"), 18, "no converter"), (node("OneHot"), 8, "at opset 8"), (node("Relu", "other"), 18, "no conv")],
)
def test_operators_that_nobody_wrote(asked, opset, why):
    with pytest.raises(UnsupportedError, match=why):
        handler_of(asked, opset)


def test_an_operator_has_one_handler_per_version():
    handlers()
    with pytest.raises(ValueError, match="Relu has two handlers since opset 1"):
        exporter_op("Relu")(lambda node, emit: "")
