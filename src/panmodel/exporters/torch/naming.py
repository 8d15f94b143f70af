"""From the names of a file to the names of a program.

Names in a file are anybody's text. Whatever becomes part of the generated source passes through here: identifiers are
made of ASCII letters, digits and underscores alone, and text in comments and docstrings cannot end them.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable

from panmodel.exporters.torch.functions import DEFINITIONS


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Public attributes of nn.Module, which a submodule of the same name would hide.
MODULE_ATTRIBUTES = _words("""
    T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double
    dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu
    load_state_dict modules mtia named_buffers named_children named_modules named_parameters parameters
    register_backward_hook register_buffer register_forward_hook register_forward_pre_hook
    register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter register_state_dict_post_hook
    register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule share_memory state_dict to
    to_empty train training type xpu zero_grad
""")
_KEYWORDS = frozenset(keyword.kwlist) | frozenset(keyword.softkwlist)
_RESERVED = _KEYWORDS | frozenset(dir(builtins)) | {"self", "torch", "nn", "F", "math", *DEFINITIONS}
_LENGTH = 40  # characters of an identifier, before numbers are appended

#: What a variable is called by its role in a layer, which the layer itself is not named after.
_ROLES = (
    "w|weights?|kernel|filters?|depthwise_weights|pointwise_weights|depthwise_kernel|pointwise_kernel|depthwise_filter"
    "|embeddings?|embedding_weights|gamma|beta|scale|alphas?|bias|biases|b|variable|moving_mean|moving_variance|running_mean"
    "|running_var"
)
_ROLE = re.compile(rf"(?:{_ROLES})(?:_?(\d+))?")
_ROLE_PREFIX = re.compile(r"(?:w|b|weights?|kernel)_(?=[a-z])")
_ROLE_SUFFIX = re.compile(r"_(?:w|b|weights?|kernel|biases|bias|filters?|gamma|beta|alphas?)$")


def snake(text: str) -> str:
    """Lower-case words with underscores; empty if nothing of the text can stand in an identifier."""
    text = re.sub(r"[^0-9A-Za-z]+", "_", text[: 4 * _LENGTH])
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", text)
    text = re.sub(r"_+", "_", text).strip("_").lower()[:_LENGTH].strip("_")
    return f"n{text}" if text[:1].isdigit() else text


def attribute(text: str, fallback: str, taken: Iterable[str] = ()) -> str:
    """A name for an attribute of a module, different from those taken."""
    name = snake(text) or fallback
    if name in MODULE_ATTRIBUTES or name in _KEYWORDS:
        name += "_"
    return unique(name, taken)


def local(text: str, fallback: str, taken: Iterable[str] = ()) -> str:
    """A name for a local variable, different from those taken."""
    name = snake(text) or fallback
    if name in _RESERVED:
        name += "_"
    return unique(name, taken)


def class_name(text: str, fallback: str, taken: Iterable[str] = ()) -> str:
    """A name for a class: as it is where it is one already ("FSRCNN_x2"), else its words in capitals."""
    text = re.sub(r"[^0-9A-Za-z_]+", "_", text[:_LENGTH]).strip("_")
    if not re.match(r"[A-Z]", text):
        text = "".join(word[:1].upper() + word[1:] for word in text.split("_"))
    if not re.match(r"[A-Za-z]", text) or text in _RESERVED:
        text = fallback
    return unique(text, taken)


def unique(name: str, taken: Iterable[str]) -> str:
    """The name, with a number if it is taken."""
    taken = set(taken)
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def components(name: str) -> tuple[str, ...]:
    """The parts of a scoped name, outermost first: TensorFlow's slashes, or PyTorch's dots."""
    name = name.rpartition(":")[0] if re.search(r":\d+$", name) else name
    separator = "/" if "/" in name else "."
    return tuple(part for part in name.split(separator) if part)


def layer_path(variable: str, kind: str) -> tuple[str, ...]:
    """Where the layer lives that a variable is the weight of: its scopes and its own name last.

    Args:
        variable: "block1/conv2/kernel", "w1", "conv1_weights".
        kind: What such a layer is called where the variable does not tell: "conv".

    Returns:
        ("block1", "conv2"), ("conv1",), ("conv1",).
    """
    *scope, last = components(variable) or ("",)
    last = snake(last)
    while scope and scope[-1] in ("read", "ReadVariableOp"):
        scope.pop()
    role = _ROLE.fullmatch(last)
    if role is not None:
        if scope and role[1] is None:
            return tuple(scope)
        return (*scope, f"{kind}{role[1] or ''}")
    bare = _ROLE_SUFFIX.sub("", _ROLE_PREFIX.sub("", last))
    return (*scope, bare or kind)


def quoted(text: str) -> str:
    """Text for a comment or docstring: nothing in it ends a line or a string, or shows as what it is not."""
    shown = "".join(c if c.isascii() and c.isprintable() and c not in "\\\"'`" else "?" for c in text[:120])
    return shown + "..." if len(text) > 120 else shown
