import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.exporters.torch import text

NAMES = st.text("abcxyz", min_size=1, max_size=30).map(lambda name: ast.Name(f"v_{name}"))
OPERATORS = st.sampled_from([ast.Add(), ast.Sub(), ast.Mult(), ast.Div(), ast.MatMult(), ast.Pow(), ast.BitOr()])
TREES = st.recursive(
    NAMES,
    lambda inner: st.one_of(
        st.builds(ast.BinOp, inner, OPERATORS, inner),
        st.builds(lambda x: ast.UnaryOp(ast.USub(), x), inner),
        st.builds(lambda x, y: ast.Compare(x, [ast.Lt()], [y]), inner, inner),
        st.builds(lambda f, args: ast.Call(f, args, [ast.keyword("dim", ast.Constant(1))]), NAMES, st.lists(inner)),
        st.builds(lambda parts: ast.Tuple(parts), st.lists(inner, max_size=4)),
        st.builds(lambda parts: ast.List(parts), st.lists(inner, max_size=4)),
    ),
    max_leaves=12,
)


def parsed(tree):
    return ast.dump(ast.parse(ast.unparse(tree), mode="eval").body)


@given(TREES, st.sampled_from([0, 4, 8]))
def test_lines_mean_what_the_tree_does(tree, indent):
    for prefix in ("x = ", "return "):
        written = text.lines(prefix, tree, indent)
        margin = " " * indent
        assert all(line.startswith(margin) for line in written)
        statement = ast.parse("def f():\n" + "\n".join(" " + line[indent:] for line in written)).body[0].body[0]
        assert ast.dump(statement.value) == parsed(tree)


def test_parentheses_stay_where_a_line_breaks_at_an_operator():
    tree = ast.parse(f"({' + '.join('a' * 30 for _ in range(4))}) / 4", mode="eval").body
    written = text.lines("return ", tree, 8)
    assert written[1].strip().startswith("(aaa")
    assert written[2].strip() == "/ 4"


@pytest.mark.parametrize("source", ["f(x, mode='a')", "x[1:, ::2]", "-x ** 2", "a if b else c"])
def test_short_expressions_are_one_line_with_double_quotes(source):
    tree = ast.parse(source, mode="eval").body
    assert text.lines("y = ", tree, 4) == ["    y = " + ast.unparse(tree).replace("'", '"')]


def test_substitution_leaves_the_tree_alone():
    tree = ast.parse("a + f(a, b)", mode="eval").body
    found = text.substituted(tree, {"a": ast.parse("x * y", mode="eval").body})
    assert text.code(found) == "x * y + f(x * y, b)"
    assert text.code(tree) == "a + f(a, b)"
    assert text.clone(tree) is not tree
