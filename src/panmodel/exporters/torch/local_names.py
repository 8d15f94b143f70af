"""Names of what `forward` takes and computes."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from panmodel.exporters.torch.emitter import Parameter
from panmodel.exporters.torch.naming import components, local
from panmodel.model.graph import Value

#: Names of a single input that say nothing; it is called x then.
_PLAIN = ("x", "y", "z")
_ANONYMOUS = re.compile(r"(x|data|inputs?|placeholder|image|images|features|iteratorgetnext)(_\d+)?")


class Locals:
    """Chooses names statement by statement, knowing what is still needed.

    Args:
        placeholders: What stands for the arguments.
        arguments: The arguments.
        is_model: Whether this is the whole model, whose arguments keep their own names.
    """

    def __init__(self, placeholders: Sequence[str], arguments: Sequence[Value | Parameter], *, is_model: bool) -> None:
        self._values: dict[str, Value | None] = {}
        self._name: dict[str, str] = {}
        self._kept: set[str] = set()
        self.arguments: list[str] = []
        for placeholder, value in zip(placeholders, arguments, strict=True):
            plain = _argument(value, single=len(arguments) == 1, is_model=is_model)
            if plain == "x" and not is_model:
                plain = next((letter for letter in _PLAIN if letter not in self.arguments), "x")
            name = local(plain, "x", self.arguments)
            self.arguments.append(name)
            self._name[placeholder] = name
            self._values[placeholder] = value if isinstance(value, Value) else None
            if name != "x":
                self._kept.add(name)

    @property
    def replacements(self) -> dict[str, ast.expr]:
        """Placeholder → name, as far as named."""
        return {placeholder: ast.Name(name) for placeholder, name in self._name.items()}

    def assign(
        self,
        placeholders: Sequence[str | None],
        values: Sequence[Value | None],
        labels: Sequence[str],
        read: Sequence[str],
        live: set[str],
        *,
        telling: bool = False,
    ) -> str:
        """Name the results of a statement.

        Args:
            placeholders: What stands for each; None for one that nobody needs.
            values: The results.
            labels: What they could be called.
            read: Placeholders that the statement reads.
            live: Placeholders that are read afterwards.
            telling: The labels say more than a plain letter.

        Returns:
            The target of the assignment.
        """
        busy = {name for placeholder, name in self._name.items() if placeholder in live}
        names = []
        for placeholder, value, label in zip(placeholders, values, labels, strict=True):
            if placeholder is None or value is None:
                names.append("_")
                continue
            name = self._reused(value, read, busy) if len(values) == 1 else None
            name = name or self._fresh(value, label, busy, telling=telling, several=len(values) > 1)
            busy.add(name)
            self._name[placeholder], self._values[placeholder] = name, value
            names.append(name)
        return ", ".join(names)

    def _reused(self, value: Value, read: Sequence[str], busy: set[str]) -> str | None:
        """The name of an operand that is not needed any more and is of the same kind."""
        for placeholder in read:
            name, before = self._name.get(placeholder), self._values.get(placeholder)
            if name in _PLAIN and name not in busy and before is not None and before.dtype is value.dtype:
                return name
        return None

    def _fresh(self, value: Value, label: str, busy: set[str], *, telling: bool, several: bool) -> str:
        is_float = value.dtype is None or value.dtype.is_float
        choices = () if telling and several else _PLAIN[:1] if telling else _PLAIN
        if is_float:
            for name in choices:
                if name not in busy and name not in self._kept:
                    return name
        return local(label, "y", busy | self._kept)


def _argument(value: Value | Parameter, *, single: bool, is_model: bool) -> str:
    if isinstance(value, Parameter):
        return (components(value.value.name) or ("weight",))[-1]
    own = "_".join(components(value.name))
    if is_model:
        return "x" if single and _ANONYMOUS.fullmatch(own.lower()) else own
    if value.dtype is not None and value.dtype.kind == "b":
        return "mask"
    if value.dtype is not None and value.dtype.is_integer:
        return "index"
    return "x"
