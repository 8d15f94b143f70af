"""Tensors that are found under more names than they are listed by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from panmodel.model.tensor import Tensor


class AliasedTensors(dict[str, Tensor]):
    """A dictionary of tensors in which lookups take other names as well: `[]`, `in` and `get`.

    Iteration, length and equality know the names that tensors are listed by, and no others.

    Args:
        tensors: Every tensor by the name it is listed by.
        resolve: The listed name that another name stands for; None if it stands for none.
    """

    def __init__(self, tensors: Mapping[str, Tensor], resolve: Callable[[str], str | None]) -> None:
        super().__init__(tensors)
        self._resolve = resolve

    def __missing__(self, name: str) -> Tensor:
        listed = self._listed(name)
        if listed is None:
            raise KeyError(name)
        return self[listed]

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or self._listed(name) is not None

    def _listed(self, name: object) -> str | None:
        """The listed name that another name stands for, if there is a tensor of that name."""
        found = self._resolve(name) if isinstance(name, str) else None
        return found if found is not None and super().__contains__(found) else None

    def get(self, name: str, default: Any = None) -> Any:
        """The tensor under a name, listed or not; `default` if there is none."""
        return self[name] if name in self else default  # noqa: SIM401 - dict.get knows the listed names alone
