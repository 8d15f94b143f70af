"""The arrangement of a PyTorch checkpoint: containers within each other, with values among the tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from panmodel.errors import UsageError
from panmodel.model.tensor import Tensor
from panmodel.model.torch.skeleton import Branch, Decoder, Key, Leaf, Node, to_json
from panmodel.model.torch.training import told, training_parts
from panmodel.model.training import TrainingState


@dataclass(frozen=True)
class Nested:
    """What a pickle arranges its tensors in, for all that is more than one flat state dict.

    Attributes:
        root: The outermost container, or the one tensor.
    """

    family: ClassVar[str] = "torch"

    root: Node

    def edited(self, names: Mapping[str, str], *, keep_training: bool = True) -> Nested | None:
        """See `Structure.edited`."""
        gone = set() if keep_training else {path for path, _ in training_parts(self.root)}
        if () in gone:
            return None
        root, is_left = _Pruning(names, gone).node(self.root, ())
        if not is_left or is_flat(root):
            return None
        if isinstance(root, Branch) and root.is_mapping and len(root.items) == 1 and is_flat(root.items[0][1]):
            return None
        return Nested(root)

    def training_state(self, tensors: Mapping[str, Tensor]) -> TrainingState | None:
        """See `Structure.training_state`."""
        return told(self.root, tensors)[0]

    def to_json(self) -> dict[str, Any]:
        """See `Structure.to_json`."""
        return {"root": to_json(self.root)}

    @classmethod
    def from_json(cls, plain: dict[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """See `Structure.from_json`."""
        return cls(Decoder(tensors.__contains__).node(plain.get("root")))


def is_flat(node: Node) -> bool:
    """Whether a node is one state dict of plain tensors, of which names say everything."""
    if not isinstance(node, Branch) or node.kind not in ("dict", "OrderedDict"):
        return False
    return all(
        isinstance(key, str) and isinstance(item, Leaf) and not (item.parameter or item.requires_grad)
        for key, item in node.items
    )


class _Pruning:
    """Makes a skeleton anew without what was left out."""

    def __init__(self, names: Mapping[str, str], gone: set[tuple[Key, ...]]) -> None:
        self._names, self._gone = names, gone

    def node(self, node: Node, path: tuple[Key, ...]) -> tuple[Node, bool]:
        """The node and whether it is left; a container goes with the last that was in it."""
        if path in self._gone:
            return None, False
        if isinstance(node, Leaf):
            new = self._names.get(node.name)
            return (None, False) if new is None else (Leaf(new, node.parameter, node.requires_grad), True)
        if not isinstance(node, Branch):
            return node, True
        items: list[tuple[Key, Node]] = []
        for key, child in node.items:
            new_child, is_left = self.node(child, (*path, key))
            if is_left:
                items.append((self._key(node, key, child, new_child), new_child))
        if not node.is_mapping:
            items = [(index, child) for index, (_, child) in enumerate(items)]
        if len({key for key, _ in items}) < len(items):
            hint = "make the rules of --rename tell them apart"
            raise UsageError(f"two tensors would have one key in {'.'.join(map(str, path))[:200]!r}", hint=hint)
        return Branch(node.kind, tuple(items), node.cls, node.modules), bool(items) or not node.items

    @staticmethod
    def _key(branch: Branch, key: Key, old: Node, new: Node) -> Key:
        """The key of a renamed tensor: a name is the keys that lead to it, of which the last one changes."""
        if not isinstance(old, Leaf) or not isinstance(new, Leaf) or not isinstance(key, str) or old.name == new.name:
            return key
        prefix = old.name.removesuffix(key)
        if not branch.is_mapping or prefix + key != old.name or not new.name.startswith(prefix):
            return key
        return new.name[len(prefix) :]
