"""Trees of Python → lines, as a formatter would set them."""

from __future__ import annotations

import ast
import re

WIDTH = 100


def code(tree: ast.AST) -> str:
    """An expression on one line, with double quotes."""
    return re.sub(r"'([^'\"\\]*)'", r'"\1"', ast.unparse(tree))


def lines(prefix: str, tree: ast.expr, indent: int, suffix: str = "") -> list[str]:
    """A statement, broken over several lines if it is too long for one.

    Args:
        prefix: What stands before the expression: "x = ", "return ".
        tree: The expression.
        indent: Columns to the left.
        suffix: What stands after it.
    """
    margin = " " * indent
    text = code(tree)
    if prefix == "return " and isinstance(tree, ast.Tuple) and len(tree.elts) > 1:
        text = text[1:-1]
    whole = f"{margin}{prefix}{text}{suffix}"
    if len(whole) <= WIDTH:
        return [whole]
    opened = _opened(tree)
    if opened is None:
        return _parenthesised(prefix, tree, indent, suffix)
    head, parts, tail = opened
    inner = margin + "    " + ", ".join(code(part) for part in parts)
    if len(inner) <= WIDTH and not isinstance(tree, (ast.List, ast.Tuple)):
        return [f"{margin}{prefix}{head}", inner, f"{margin}{tail}{suffix}"]
    broken = [f"{margin}{prefix}{head}"]
    for part in parts:
        if isinstance(part, ast.keyword):
            broken += lines(f"{part.arg}=", part.value, indent + 4, ",")
        else:
            broken += lines("", part, indent + 4, ",")
    return [*broken, f"{margin}{tail}{suffix}"]


def _opened(tree: ast.expr) -> tuple[str, list[ast.expr | ast.keyword], str] | None:
    """Brackets and what is in them, if the expression ends in brackets."""
    if isinstance(tree, ast.Call) and (tree.args or tree.keywords):
        return f"{code(tree.func)}(", [*tree.args, *tree.keywords], ")"
    if isinstance(tree, ast.List) and tree.elts:
        return "[", list(tree.elts), "]"
    if isinstance(tree, ast.Tuple) and tree.elts:
        return "(", list(tree.elts), ")"
    return None


def _parenthesised(prefix: str, tree: ast.expr, indent: int, suffix: str) -> list[str]:
    margin = " " * indent
    if isinstance(tree, ast.BinOp):
        # each side beside a name, which gives it the parentheses that it needs
        left = code(ast.BinOp(tree.left, tree.op, ast.Name("b"))).rpartition(" ")[0].rpartition(" ")[0]
        right = code(ast.BinOp(ast.Name("a"), tree.op, tree.right))[2:]
        inner = [f"{margin}    {left}", f"{margin}    {right}"]
    else:
        inner = [f"{margin}    {code(tree)}"]
    return [f"{margin}{prefix}(", *inner, f"{margin}){suffix}"]


class _Substitution(ast.NodeTransformer):
    def __init__(self, replacements: dict[str, ast.expr]) -> None:
        self._replacements = replacements

    def visit_Name(self, node: ast.Name) -> ast.expr:
        found = self._replacements.get(node.id)
        return node if found is None else clone(found)


def substituted(tree: ast.expr, replacements: dict[str, ast.expr]) -> ast.expr:
    """A copy of a tree with names replaced by expressions."""
    result = _Substitution(replacements).visit(clone(tree))
    assert isinstance(result, ast.expr)
    return result


def clone(tree: ast.expr) -> ast.expr:
    """A copy of an expression."""
    return ast.parse(ast.unparse(tree), mode="eval").body
