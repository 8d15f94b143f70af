import ast

from tests.exporters.torch.execution import graph_of, numbers, weight

from panmodel.exporters.torch.classes import classes
from panmodel.exporters.torch.drafts import Borders
from panmodel.exporters.torch.emitter import Emitter
from panmodel.exporters.torch.scopes import arrange


def written(*widths, names=None):
    """Blocks of two linear layers each, of these widths."""

    def apply(build, x):
        before = 3
        for at, width in enumerate(widths):
            scope = names[at] if names else f"block{at}"
            for layer, (inner, outer) in {"up": (before, width), "down": (width, width)}.items():
                with build.at(f"{scope}/{layer}/MatMul"):
                    x = build.op("MatMul", x, weight(build, numbers(inner, outer), f"{scope}/{layer}/kernel"))
            before = width
        with build.at("end/MatMul"):
            return build.op("MatMul", x, weight(build, numbers(before, 2), "end/kernel"))

    emitted = Emitter(graph_of(apply, numbers(2, 3))).run()
    root = arrange(emitted)
    return classes(root, Borders(emitted, root), "Net", ["Net"])


def test_scopes_that_differ_in_numbers_are_one_class():
    block, net = written(4, 5, 5)
    assert (block.name, net.name) == ("Block", "Net")
    assert len(block.drafts) == 3
    assert [ast.unparse(block.constructor(at)) for at in range(3)] == ["Block(3, 4)", "Block(4, 5)", "Block(5, 5)"]
    assert "    def __init__(self, in_features, out_features):" in block.text()
    assert "        self.down = nn.Linear(out_features, out_features, bias=False)" in block.text()


def test_scopes_that_are_equal_need_no_arguments():
    block, _ = written(3, 3)
    assert block.arguments == []
    assert "    def __init__(self):" in block.text()
    assert "block0, block1 of the original." in block.text()[1]


def test_names_that_are_taken_are_not_given_again():
    block, _ = written(4, 4, names=["net_1", "net_2"])
    assert block.name != "Net"


def test_every_class_is_python():
    for made in written(4, 5):
        ast.parse("\n".join(made.text()))


def test_long_names_keep_their_end_and_the_line_its_width():
    scopes = [f"{'tower_of_many_floors/' * 2}{'a_long_scope_' * 4}{at}" for at in (1, 2)]
    lines = [line for made in written(3, 3, names=scopes) for line in made.text()]
    assert max(map(len, lines)) <= 100
    assert any("a_long_scope_1 of the original and 1 more." in line for line in lines)
