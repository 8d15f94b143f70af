from tests.exporters.torch.execution import graph_of, numbers

from panmodel.exporters.torch.sizes import Sizes
from panmodel.model.symbolic import Dim


def test_sizes_are_read_where_they_stand():
    graph = graph_of(
        lambda b, x, y: b.op("Add", b.op("Relu", x), b.op("Exp", y)), numbers(2, 3), numbers(2, 3), known="symbolic"
    )
    sizes, add = Sizes(graph), graph.nodes[-1]
    rows, columns = (Dim.symbol(f"n0_{axis}") for axis in range(2))
    name = lambda value: value.name  # noqa: E731
    relu = next(node for node in graph.nodes if node.op == "Relu")
    assert sizes.expression(4, add, name) == "4"
    # the operand comes before what else has that size
    assert sizes.expression(rows, add, name) == f"{relu.output.name}.shape[0]"
    # what is not computed yet is not read
    assert sizes.expression(rows, relu, name) == "in0.shape[0]"
    found = sizes.expression(rows * columns * 2 - rows + 3, relu, name)
    assert eval(found, {"in0": numbers(5, 7)}) == 5 * 7 * 2 - 5 + 3
    assert sizes.expression(Dim.symbol("elsewhere"), add, name) is None
    assert sizes.expression(rows + Dim.symbol("elsewhere"), add, name) is None
