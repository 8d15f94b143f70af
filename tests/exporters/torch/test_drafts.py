import ast

from tests.exporters.torch.execution import graph_of, numbers, weight
from tests.exporters.torch.judge import forward

from panmodel.exporters.torch.drafts import Borders, draft
from panmodel.exporters.torch.emitter import Emitter, Parameter
from panmodel.exporters.torch.scopes import arrange


def drafted(apply, *arrays):
    graph = graph_of(apply, *arrays)
    emitted = Emitter(graph).run()
    root = arrange(emitted)
    borders = Borders(emitted, root)
    return draft(root, borders, {}, graph.inputs), borders, root


def net(build, x):
    with build.at("fc/MatMul"):
        x = build.op("MatMul", x, weight(build, numbers(3, 3), "fc/kernel"))
    return build.op("Mul", build.op("Relu", x), weight(build, numbers(3), "gain"))


def test_a_draft_creates_what_it_uses_and_returns_its_last_line():
    written, _, _ = drafted(net, numbers(2, 3))
    assert written.arguments == ["in0"]
    assert [(made.attribute, ast.unparse(made.tree)) for made in written.creations] == [
        ("fc", "nn.Linear(3, 3, bias=False)"),
        ("gain", "nn.Parameter(torch.zeros(3))"),
    ]
    assert written.body[-1][0] == ""
    assert ast.unparse(written.body[-1][1]).endswith("* self.gain")


def test_a_border_is_crossed_by_inputs_and_outputs():
    written, borders, root = drafted(net, numbers(2, 3))
    border = borders.of(root)
    assert [value.name for value in border.inputs] == ["in0"]
    assert border.outputs == tuple(borders.emitted.graph.outputs.values())
    (gain,) = [found for found in borders.emitted.references.values() if isinstance(found, Parameter)]
    assert borders.homes[gain] is root
    assert written.scope is root


def test_short_expressions_nest_and_shared_ones_do_not():
    assert forward(graph_of(lambda b, x: b.op("Exp", b.op("Abs", x)), numbers(2))) == [
        "return torch.exp(torch.abs(in0))"
    ]

    def shared(build, x):
        once = build.op("Abs", x)
        return build.op("Add", build.op("Exp", once), build.op("Sin", once))

    assert forward(graph_of(shared, numbers(2)))[0] == "x = torch.abs(in0)"


def test_a_weight_that_is_returned_is_a_copy():
    lines = forward(graph_of(lambda b, x: (b.op("Abs", x), weight(b, numbers(2), "w")), numbers(2)))
    assert lines[-1].endswith("self.w.clone()")
