"""What a PyTorch file says about itself, as metadata of a model."""

from __future__ import annotations

from collections.abc import Mapping

from panmodel.model.torch.checkpoint import Contents
from panmodel.model.torch.modules import TRACED_CLASS
from panmodel.model.torch.skeleton import Branch, Node, Scalar, scalars
from panmodel.wire.pickle import Global, describe
from panmodel.wire.torch_container import Loaded
from panmodel.wire.torch_records import TensorRecord

#: What data-parallel training and compilation put before the names of a module's parameters.
_WRAPPERS = ("module.", "_orig_mod.")


def describe_file(loaded: Loaded, found: Contents, used: frozenset[str]) -> dict[str, object]:
    """The metadata of a file.

    Args:
        loaded: The file.
        found: Its contents.
        used: Paths, joined by dots, of what the training state tells already.

    Returns:
        "framework", "container" if it is not the current one, "container_version", "state_dict" (its key), "prefix" (of
        all names), "devices", "shared_storages", "values" (path → value), "modules" (name → version), "module_tree"
        (name → class and settings, of whole modules) and "sources" (class → text; what torch.fx traced has
        the name of the module behind its class); each only where it says something.
    """
    values = {name: value for name, value in scalars(found.root) if not _is_below(name, used)}
    told: dict[str, object] = {"framework": "pytorch"}
    told["container"] = loaded.kind if loaded.kind != "zip" else None
    told["container_version"] = int(loaded.version[:9]) if loaded.version.isdecimal() else None
    told["state_dict"] = found.key
    told["prefix"] = _prefix(found)
    told["devices"] = sorted({record.storage.location for record in _records(found).values()} - {"cpu"})
    told["shared_storages"] = _shared(found)
    told["values"] = values
    told["modules"] = _versions(found.root)
    told["module_tree"] = found.modules
    told["sources"] = _sources(loaded.sources, found.code)
    return {key: value for key, value in told.items() if value}


def _records(found: Contents) -> dict[str, TensorRecord]:
    return {name: record for name, record in found.tensors.items() if isinstance(record, TensorRecord)}


def _is_below(name: str, used: frozenset[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:count]) in used for count in range(len(parts) + 1))


def _prefix(found: Contents) -> str:
    """What all names of the state dict begin with, if a wrapper put it there."""
    root = found.root
    inside = root.get(found.key) if found.key and isinstance(root, Branch) else root
    names = [key for key, _ in inside.items if isinstance(key, str)] if isinstance(inside, Branch) else []
    return next((prefix for prefix in _WRAPPERS if names and all(name.startswith(prefix) for name in names)), "")


def _shared(found: Contents) -> list[list[str]]:
    """Names of tensors that are views of one storage."""
    shared: dict[int, list[str]] = {}
    for name, record in _records(found).items():
        shared.setdefault(id(record.storage.content), []).append(name)
    return [names for names in shared.values() if len(names) > 1]


def _versions(node: Node) -> Mapping[str, Mapping[str, Scalar]]:
    """`_metadata` of the first state dict that has it."""
    if not isinstance(node, Branch):
        return {}
    if node.modules:
        return node.modules
    return next((versions for _, child in node.items if (versions := _versions(child))), {})


def _sources(sources: Mapping[Global, tuple[str, str]], traced: Mapping[str, str]) -> dict[str, str]:
    told = {describe(cls): text for cls, (_, text) in sources.items() if text}
    return told | {f"{describe(TRACED_CLASS)} {name}".rstrip(): text for name, text in traced.items()}
