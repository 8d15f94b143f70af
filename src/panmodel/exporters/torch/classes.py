"""Drafts → classes: equal ones become one class, with arguments where only numbers differ."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from panmodel.errors import listed
from panmodel.exporters.torch.drafts import Borders, Creation, Draft, draft
from panmodel.exporters.torch.naming import class_name, quoted
from panmodel.exporters.torch.scopes import Scope
from panmodel.exporters.torch.text import WIDTH, clone, code, lines

_ARGUMENTS = 6  # of one class; where more numbers differ, it is another class
_AROUND = 12  # characters around a docstring of one line: its indentation, quotes, and some air

#: What the positional arguments of layers are called.
_POSITIONAL = {
    "Conv": ("in_channels", "out_channels", "kernel_size"),
    "ConvTranspose": ("in_channels", "out_channels", "kernel_size"),
    "Linear": ("in_features", "out_features"),
    "BatchNorm": ("channels",),
    "InstanceNorm": ("channels",),
    "LayerNorm": ("features",),
    "PReLU": ("channels",),
    "Embedding": ("num_embeddings", "embedding_dim"),
}


@dataclass(eq=False)
class Class:
    """A class of the file.

    Attributes:
        name: Its name.
        drafts: The scopes that it stands for; all alike up to numbers.
        arguments: What `__init__` takes.
        docstring: Its lines.
    """

    name: str
    drafts: list[Draft]
    arguments: list[str] = field(default_factory=list)
    docstring: list[str] = field(default_factory=list)
    _names: dict[tuple[int, ...], str] = field(default_factory=dict)

    def constructor(self, index: int) -> ast.expr:
        """How the scope of that draft is created."""
        numbers = [vector[index] for vector in self._names]
        text = [
            str(n) if place < 2 else f"{name}={n}"
            for place, (n, name) in enumerate(zip(numbers, self.arguments, strict=True))
        ]
        return ast.parse(f"{self.name}({', '.join(text)})", mode="eval").body

    def name_arguments(self) -> None:
        """Numbers that differ among the scopes become arguments; equal ones are one argument."""
        for places in zip(*(_numbers(written) for written in self.drafts), strict=True):
            vector = tuple(place.constant.value for place in places)
            if len(set(vector)) > 1 and vector not in self._names:
                name = places[0].name
                if name in self.arguments:
                    name = f"{places[0].attribute}_{name}"
                while name in self.arguments:
                    name += "_"
                self._names[vector] = name
                self.arguments.append(name)

    def text(self) -> list[str]:
        """The lines of the class."""
        first = self.drafts[0]
        body = [f"class {self.name}(nn.Module):", *_docstring(self.docstring)]
        creations = [line for creation in self._generalised() for line in _created(creation)]
        if creations:
            head = f"def __init__({', '.join(['self', *self.arguments])}):"
            body += [f"    {head}", "        super().__init__()", *creations, ""]
        body += (
            lines("def ", _signature("forward", first.arguments), 4, ":")
            if len(first.arguments) > 9
            else [f"    def forward({', '.join(['self', *first.arguments])}):"]
        )
        for index, (name, tree, comment) in enumerate(first.body):
            same = all(written.body[index][2] == comment for written in self.drafts)
            body += _commented(lines(f"{name} = " if name else "return ", tree, 8), comment if same else "")
        return body

    def _generalised(self) -> Iterator[Creation]:
        """The lines of `__init__` with arguments in place of the numbers that differ."""
        all_places = zip(*(_numbers(written) for written in self.drafts), strict=True)
        for creation in self.drafts[0].creations:
            tree = clone(creation.tree)
            replaced: dict[int, ast.expr] = {}
            for constant in _constants(tree):
                places = next(all_places)
                name = self._names.get(tuple(place.constant.value for place in places))
                if name is not None:
                    replaced[id(constant)] = ast.Name(name)
            tree = _Replacement(replaced).visit(tree)
            yield Creation(creation.attribute, tree, creation.buffer, creation.what)


@dataclass(frozen=True, slots=True)
class _Place:
    """A whole number in `__init__`: which attribute it belongs to and what it is called there."""

    constant: ast.Constant
    attribute: str
    name: str


def _constants(tree: ast.expr) -> list[ast.Constant]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and type(node.value) is int]


def _numbers(written: Draft) -> list[_Place]:
    return [
        _Place(constant, creation.attribute, _meaning(creation, constant))
        for creation in written.creations
        for constant in _constants(creation.tree)
    ]


def _meaning(creation: Creation, constant: ast.Constant) -> str:
    call = creation.tree
    if not isinstance(call, ast.Call):
        return "size"
    for keyword in call.keywords:
        if any(node is constant for node in ast.walk(keyword.value)):
            return keyword.arg or "size"
    kind = re.sub(r"\dd$", "", code(call.func).removeprefix("nn."))
    for name, argument in zip(_POSITIONAL.get(kind, ()), call.args, strict=False):
        if any(node is constant for node in ast.walk(argument)):
            return name
    return f"{creation.attribute}_size"


class _Replacement(ast.NodeTransformer):
    def __init__(self, replaced: dict[int, ast.expr]) -> None:
        self._replaced = replaced

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return self._replaced.get(id(node), node)


def _signature(name: str, arguments: Sequence[str]) -> ast.expr:
    return ast.Call(ast.Name(name), [ast.Name("self"), *(ast.Name(argument) for argument in arguments)], [])


def _created(creation: Creation) -> list[str]:
    if creation.buffer is None:
        return lines(f"self.{creation.attribute} = ", creation.tree, 8)
    arguments = [ast.Constant(creation.attribute), creation.tree]
    keywords = [] if creation.buffer else [ast.keyword("persistent", ast.Constant(False))]
    return lines("", ast.Call(ast.Attribute(ast.Name("self"), "register_buffer"), arguments, keywords), 8)


def _docstring(text: Sequence[str]) -> list[str]:
    if len(text) <= 1:
        return [f'    """{line}"""' for line in text] + [""] * bool(text)
    return [f'    """{text[0]}', *(f"    {line}".rstrip() for line in text[1:]), '    """', ""]


def _commented(text: list[str], comment: str) -> list[str]:
    """The comment at the end of the first line or the last, if it fits."""
    if not comment:
        return text
    for at in (-1, 0):
        if len(text[at]) + len(comment) + 4 <= WIDTH:
            text[at] += f"  # {comment}"
            return text
    return text


def classes(root: Scope, borders: Borders, name: str, reserved: Sequence[str]) -> list[Class]:
    """Write every scope.

    Args:
        root: The whole model.
        borders: What crosses borders.
        name: The class of the model.
        reserved: Names that the file uses already.

    Returns:
        The classes, inner ones first, the model last.
    """
    constructors: dict[Scope, ast.expr] = {}
    written: list[Class] = []
    taken = {name, *reserved}
    levels: dict[int, list[Scope]] = {}
    for scope in root.walk():
        levels.setdefault(_height(scope), []).append(scope)
    for level in range(_height(root)):
        drafts = [draft(scope, borders, constructors, None) for scope in levels[level]]
        for group in _alike(drafts):
            made = Class(_common_name(group, taken), group)
            taken.add(made.name)
            made.name_arguments()
            made.docstring = _origin(group)
            written.append(made)
            constructors.update({one.scope: made.constructor(index) for index, one in enumerate(group)})
    model = draft(root, borders, constructors, borders.emitted.graph.inputs)
    return [*written, Class(name, [model])]


def _height(scope: Scope) -> int:
    return 1 + max(map(_height, scope.children)) if scope.children else 0


def _alike(drafts: Sequence[Draft]) -> list[list[Draft]]:
    """Groups that are equal up to numbers in `__init__`."""
    exact: dict[str, list[Draft]] = {}
    for written in drafts:
        exact.setdefault(_shape_of(written), []).append(written)
    groups = []
    for group in exact.values():
        trial = Class("", group)
        trial.name_arguments()
        if len(trial.arguments) <= _ARGUMENTS:
            groups.append(group)
        else:
            same: dict[tuple[object, ...], list[Draft]] = {}
            for written in group:
                same.setdefault(tuple(place.constant.value for place in _numbers(written)), []).append(written)
            groups += list(same.values())
    return groups


def _shape_of(written: Draft) -> str:
    """The text of a class with its numbers left out."""
    created = []
    for creation in written.creations:
        tree = clone(creation.tree)
        blank = _Replacement({id(constant): ast.Name("_") for constant in _constants(tree)})
        created.append(f"{creation.attribute} {creation.buffer} {code(blank.visit(tree))}")
    body = [f"{name} = {code(tree)}" for name, tree, _ in written.body]
    return "\n".join([*created, *written.arguments, *body])


def _common_name(group: Sequence[Draft], taken: set[str]) -> str:
    labels = [written.scope.label for written in group]
    label = labels[0] if len(set(labels)) == 1 and len(group) == 1 else re.sub(r"[_\d]+$", "", labels[0])
    label = label if label[:1].isalpha() else f"block_{label}"
    return class_name(
        "".join(part[:1].upper() + part[1:] for part in re.split(r"[^0-9A-Za-z]+", label)), "Block", taken
    )


def _origin(group: Sequence[Draft]) -> list[str]:
    """Which scopes of the original it is, in one line."""
    paths = [quoted("/".join(written.scope.path)) for written in group]
    shown = listed(paths, 4)
    text = f"{shown} of the original."
    if len(text) <= WIDTH - _AROUND:
        return [text]
    rest = " of the original" + (f" and {len(paths) - 1} more." if len(paths) > 1 else ".")
    room = WIDTH - _AROUND - len(rest)
    return [(paths[0] if len(paths[0]) <= room else f"...{paths[0][3 - room :]}") + rest]
