"""A scope → the draft of its class: what `__init__` creates and what `forward` computes, with all names chosen."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from panmodel.exporters.torch.dims import Dims
from panmodel.exporters.torch.emitter import Emitted, Module, Parameter, Reference, Step
from panmodel.exporters.torch.local_names import Locals
from panmodel.exporters.torch.naming import attribute, components, snake
from panmodel.exporters.torch.scopes import Links, Scope, ordered
from panmodel.exporters.torch.text import code, substituted
from panmodel.model.graph import Value
from panmodel.model.symbolic import Shape

#: Layers that are written around the call of another.
_AROUND = ("norm", "prelu")
#: Operators that bring an operand into the form that a layer takes.
_PREPARING = frozenset(("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Pad", "Slice", "Cast", "Concat"))
_NESTED = 4  # expressions in one line
_INLINED = 72  # characters that an expression may grow to by taking in another


@dataclass(eq=False)
class Statement:
    """One assignment of `forward`.

    Attributes:
        targets: What it assigns; None for results that nobody needs.
        tree: The expression, over placeholders.
        labels: What its results could be called.
        shape: Shape of its result, if it is one; likewise that of its first operand.
        nodes: How many expressions it nests.
        calls: Whether it is the call of a class.
        prepares: Whether it only brings its operand into another form.
    """

    targets: tuple[Value | None, ...]
    tree: ast.expr
    labels: tuple[str, ...]
    shape: Shape = None
    operand: Shape = None
    nodes: int = 1
    prepares: bool = False
    calls: bool = False


@dataclass(eq=False)
class Creation:
    """One line of `__init__`.

    Attributes:
        attribute: Name of the attribute.
        tree: What it is created by; the numbers in it may become arguments of the class.
        buffer: For a buffer: whether it is part of the state; None for all else.
        what: The layer, parameter or class that it is.
    """

    attribute: str
    tree: ast.expr
    buffer: bool | None
    what: Module | Parameter | Scope


@dataclass(eq=False)
class Draft:
    """A class.

    Attributes:
        scope: Where it comes from.
        arguments: Names of what `forward` takes.
        creations: The lines of `__init__`.
        body: The lines of `forward`: name of the target (empty for the last), expression, comment.
    """

    scope: Scope
    arguments: list[str]
    creations: list[Creation]
    body: list[tuple[str, ast.expr, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Border:
    """What crosses the border of a scope.

    Attributes:
        inputs: Values and parameters that it takes, in the order of their first use.
        outputs: Values that it gives.
    """

    inputs: tuple[Value | Parameter, ...]
    outputs: tuple[Value, ...]


class Borders:
    """What crosses the borders of all scopes, and which scope each parameter lives in."""

    def __init__(self, emitted: Emitted, root: Scope) -> None:
        self.emitted = emitted
        self.dims, self.links = Dims(emitted.graph), Links(emitted)
        self.order = {step: index for index, step in enumerate(emitted.steps)}
        self._outputs = set(emitted.graph.outputs.values())
        self.homes = self._find_homes(root)
        self._of: dict[Scope, Border] = {}
        self._readers: dict[Value, list[Step]] = {}
        for step in emitted.steps:
            for value in emitted.read(step.tree):
                if isinstance(value, Value):
                    self._readers.setdefault(value, []).append(step)

    def of(self, scope: Scope) -> Border:
        """The border of a scope."""
        if scope not in self._of:
            self._of[scope] = self._border(scope)
        return self._of[scope]

    def _border(self, scope: Scope) -> Border:
        steps = sorted(scope.all_steps(), key=self.order.__getitem__)
        inside, homes = set(steps), {id(inner) for inner in scope.walk()}
        made = {value: None for step in steps for value in step.outputs if value is not None}
        read: dict[Value | Parameter, None] = {}
        for step in steps:
            for found in self.emitted.read(step.tree):
                if (isinstance(found, Value) and found not in made) or (
                    isinstance(found, Parameter) and id(self.homes[found]) not in homes
                ):
                    read.setdefault(found)
        wanted = [
            value
            for value in made
            if value in self._outputs or any(reader not in inside for reader in self._readers.get(value, ()))
        ]
        return Border(tuple(read), tuple(wanted))

    def _find_homes(self, root: Scope) -> dict[Parameter, Scope]:
        """The innermost scope around all that use a parameter."""
        above: dict[Scope, list[Scope]] = {}

        def descend(scope: Scope, path: list[Scope]) -> None:
            above[scope] = [*path, scope]
            for child in scope.children:
                descend(child, above[scope])

        descend(root, [])
        homes: dict[Parameter, list[Scope]] = {}
        for scope in above:
            for step in scope.steps:
                for found in self.emitted.read(step.tree):
                    if isinstance(found, Parameter):
                        path = homes.get(found, above[scope])
                        homes[found] = [a for a, b in zip(path, above[scope], strict=False) if a is b]
        for value in self.emitted.graph.outputs.values():
            reference = self.emitted.references[self.emitted.placeholders[value]]
            if isinstance(reference, Parameter):
                homes[reference] = [root]
        return {parameter: path[-1] for parameter, path in homes.items()}


def draft(
    scope: Scope, borders: Borders, constructors: Mapping[Scope, ast.expr], inputs: Sequence[Value] | None
) -> Draft:
    """Write a scope.

    Args:
        scope: The scope; the classes inside it are written already.
        borders: What crosses borders.
        constructors: How the classes inside it are created.
        inputs: The inputs of the graph, if this is the whole model.
    """
    emitted = borders.emitted
    border = borders.of(scope)
    takes: Sequence[Value | Parameter] = inputs if inputs is not None else border.inputs
    gives = tuple(emitted.graph.outputs.values()) if inputs is not None else border.outputs
    statements = list(_statements(scope, borders))
    results = [_result(_placeholder(value, emitted), emitted) for value in gives]
    result = results[0] if len(results) == 1 else ast.Tuple(results)
    statements = _inlined(statements, result, emitted)
    creations, attributes = _creations(scope, borders, constructors, [*(s.tree for s in statements), result])
    names = Locals([_placeholder(value, emitted) for value in takes], takes, is_model=inputs is not None)
    written = Draft(scope, list(names.arguments), creations)
    last_use = {
        name: index
        for index, tree in enumerate([*(s.tree for s in statements), result])
        for name in _names(tree, emitted)
    }
    for index, statement in enumerate(statements):
        live = {name for name, last in last_use.items() if last > index}
        tree = substituted(statement.tree, names.replacements | attributes)
        read = list(_names(statement.tree, emitted))
        targets = [None if value is None else _placeholder(value, emitted) for value in statement.targets]
        name = names.assign(targets, statement.targets, statement.labels, read, live, telling=statement.calls)
        comment = borders.dims.comment(statement.shape) if statement.shape != statement.operand else ""
        written.body.append((name, tree, comment))
    written.body.append(("", substituted(result, names.replacements | attributes), ""))
    _return_directly(written)
    return written


def _return_directly(written: Draft) -> None:
    """`x = f(x)` and `return x` become `return f(x)`."""
    if len(written.body) < 2:
        return
    (name, tree, comment), (_, result, _) = written.body[-2:]
    if isinstance(result, ast.Name) and result.id == name:
        written.body[-2:] = [("", tree, comment)]


def _result(name: str, emitted: Emitted) -> ast.expr:
    """What is returned: a value, or a copy of a weight (which the caller must not change)."""
    if isinstance(emitted.references[name], Parameter):
        return ast.Call(ast.Attribute(ast.Name(name), "clone"), [], [])
    return ast.Name(name)


def _placeholder(value: Value | Parameter, emitted: Emitted) -> str:
    return emitted.placeholders[value.value if isinstance(value, Parameter) else value]


def _names(tree: ast.expr, emitted: Emitted) -> Iterator[str]:
    """Placeholders of values and parameters in an expression."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(emitted.references.get(node.id), (Value, Parameter)):
            yield node.id


def _statements(scope: Scope, borders: Borders) -> Iterator[Statement]:
    emitted = borders.emitted
    for item in ordered(scope, borders.links, borders.order):
        if isinstance(item, Step):
            label = snake(item.module.path[-1]) if item.module else _last_part(item.node.name, item.node.op)
            first = next((found for found in emitted.read(item.tree) if isinstance(found, Value)), None)
            single = item.outputs[0] if len(item.outputs) == 1 else None
            shapes = (single.shape if single else None, first.shape if first else None)
            labels = (label,) * len(item.outputs)
            yield Statement(item.outputs, item.tree, labels, *shapes, prepares=item.node.op in _PREPARING)
        else:
            border = borders.of(item)
            arguments = [ast.Name(_placeholder(value, emitted)) for value in border.inputs]
            tree = ast.Call(ast.Name(scope_placeholder(item)), arguments, [])  # type: ignore[arg-type]
            first = next((value for value in border.inputs if isinstance(value, Value)), None)
            single = border.outputs[0] if len(border.outputs) == 1 else None
            shapes = (single.shape if single else None, first.shape if first else None)
            several = len(border.outputs) > 1
            names = [_inner_part(item, value) if several else item.label for value in border.outputs]
            yield Statement(border.outputs, tree, tuple(map(snake, names)), *shapes, calls=True)


def _inner_part(scope: Scope, value: Value) -> str:
    """The part of a scope that computes a value."""
    parts = components(value.node.name if value.node is not None else value.name)
    inside = parts[: len(scope.path)] == scope.path and len(parts) > len(scope.path) + 1
    return parts[len(scope.path)] if inside else scope.label


def scope_placeholder(scope: Scope) -> str:
    """What stands for a class in expressions of the class around it."""
    return f"_s{id(scope)}"


def _last_part(name: str, op: str) -> str:
    last = snake((components(name) or ("",))[-1])
    return re.sub(r"_?\d+$", "", last) or snake(op)


def _inlined(statements: list[Statement], result: ast.expr, emitted: Emitted) -> list[Statement]:
    """Short expressions that are used once move into the next one, as a person would nest calls."""
    counts: dict[str, int] = {}
    for tree in (*(statement.tree for statement in statements), result):
        for name in _names(tree, emitted):
            counts[name] = counts.get(name, 0) + 1
    kept: list[Statement] = []
    for statement in statements:
        while kept and (moved := _movable(kept[-1], statement, counts, emitted)):
            last = kept.pop()
            statement.tree = substituted(statement.tree, {moved: last.tree})
            statement.nodes += last.nodes
            statement.prepares = False
            statement.operand = last.operand
        kept.append(statement)
    return kept


def _movable(last: Statement, into: Statement, counts: Mapping[str, int], emitted: Emitted) -> str | None:
    """The placeholder of a statement's result, if the statement after it may take it in."""
    if len(last.targets) != 1 or last.targets[0] is None:
        return None
    name = _placeholder(last.targets[0], emitted)
    is_alias = isinstance(into.tree, ast.Name)
    used = sum(found == name for found in _names(into.tree, emitted))
    if used != 1 or counts[name] != 1:
        return None
    if not is_alias and (last.nodes + into.nodes > _NESTED or not _nests(last.tree, into.tree, name)):
        return None
    if not is_alias and _has_layer(last.tree, emitted) and _has_layer(into.tree, emitted, lightly=True):
        return None
    if not is_alias and _has_layer(into.tree, emitted, lightly=True) and not last.prepares:
        return None
    return name if len(_shown(last.tree)) + len(_shown(into.tree)) <= _INLINED or is_alias else None


def _has_layer(tree: ast.expr, emitted: Emitted, *, lightly: bool = False) -> bool:
    """Whether an expression calls a layer or a class: one of them is enough for a line.

    Args:
        tree: The expression.
        emitted: What placeholders stand for.
        lightly: Do not count normalizations and activations, which are written around another layer.
    """
    for node in ast.walk(tree):
        if not isinstance(node, ast.Name):
            continue
        found = emitted.references.get(node.id)
        if node.id.startswith("_s") or (isinstance(found, Module) and not (lightly and found.kind in _AROUND)):
            return True
    return False


def _shown(tree: ast.expr) -> str:
    """About how an expression will look: placeholders are longer than names."""
    return re.sub(r"_[vmps]\d+", "self.x", code(tree))


def _nests(inner: ast.expr, outer: ast.expr, name: str) -> bool:
    """Whether nesting reads well: a call in a call, or in a sum; no operator before a method or an index."""
    for node in ast.walk(outer):
        taken = getattr(node, "value", None) if isinstance(node, (ast.Attribute, ast.Subscript)) else None
        if isinstance(taken, ast.Name) and taken.id == name:
            return isinstance(inner, (ast.Call, ast.Subscript, ast.Attribute))
    if isinstance(inner, (ast.BinOp, ast.Compare, ast.UnaryOp)):
        return isinstance(outer, ast.Call) or (isinstance(outer, ast.BinOp) and isinstance(inner, ast.BinOp))
    return True


def _creations(
    scope: Scope, borders: Borders, constructors: Mapping[Scope, ast.expr], trees: Sequence[ast.expr]
) -> tuple[list[Creation], dict[str, ast.expr]]:
    """What `__init__` creates, in the order of first use, and how it is referred to."""
    emitted = borders.emitted
    children = {scope_placeholder(child): child for child in scope.children}
    taken: list[str] = []
    creations: list[Creation] = []
    attributes: dict[str, ast.expr] = {}
    for tree in trees:
        for node in _in_order(tree):
            found: Reference | Scope | None = children.get(node.id) or emitted.references.get(node.id)
            if node.id in attributes or found is None or isinstance(found, Value):
                continue
            if isinstance(found, Parameter) and borders.homes[found] is not scope:
                continue
            creation = _creation(found, scope, constructors, taken)
            taken.append(creation.attribute)
            creations.append(creation)
            attributes[node.id] = ast.Attribute(ast.Name("self"), creation.attribute)
    return creations, attributes


def _in_order(tree: ast.expr) -> list[ast.Name]:
    """Names in an expression, in the order of their evaluation: inner calls first."""
    found: list[ast.Name] = []

    class Visitor(ast.NodeVisitor):
        def visit_Call(self, node: ast.Call) -> None:
            for argument in (*node.args, *node.keywords):
                self.visit(argument)
            self.visit(node.func)

        def visit_Name(self, node: ast.Name) -> None:
            found.append(node)

    Visitor().visit(tree)
    return found


def _creation(
    found: Module | Parameter | Scope, scope: Scope, constructors: Mapping[Scope, ast.expr], taken: Sequence[str]
) -> Creation:
    if isinstance(found, Scope):
        return Creation(attribute(found.label, "block", taken), constructors[found], None, found)
    if isinstance(found, Module):
        label = attribute(scope.modules[found], found.kind, taken)
        return Creation(label, ast.parse(found.constructor, mode="eval").body, None, found)
    tensor = found.value.tensor
    assert tensor is not None
    name = "" if found.value.literal else tensor.name or next(iter(tensor.origins), "")
    parts = components(name)
    if parts[: len(scope.path)] == scope.path:
        parts = parts[len(scope.path) :]
    label = attribute("_".join(parts), "constant", taken)
    if found.expression is not None:
        return Creation(label, ast.parse(found.expression, mode="eval").body, False, found)
    kind = "" if tensor.dtype.name == "float32" else f", dtype=torch.{tensor.dtype.torch}"
    sizes = ", ".join(map(str, tensor.shape)) or "()"
    zeros = f"torch.zeros({sizes}{kind})"
    text = f"nn.Parameter({zeros})" if found.trains else zeros
    return Creation(label, ast.parse(text, mode="eval").body, None if found.trains else True, found)
