"""What generated PyTorch source may hold; everything that is not listed here is refused.

The rules hold for values, not for names alone: a module of Python (`torch`, `F`) is never a value, `self` is never a
value and never means another thing, and an attribute of `self` is one that `__init__` sets. So whatever a local
variable holds is a number, a tensor, a list of them, a layer or a function of the lists below, and what can be asked
of it is listed too.
"""

from __future__ import annotations

import ast
from typing import NoReturn

from panmodel.errors import UnsafeError
from panmodel.limits import DEFAULT

#: Builtins that generated source may call.
BUILTINS = ("int", "float", "bool", "tuple", "list", "range", "len", "max", "min", "super", "zip")

_IMPORTS = ("import math", "import torch", "import torch.nn.functional as F", "from torch import nn")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Names in `torch`, `nn` and `F` (any depth would reach loading, saving and compiling).
_TORCH = _words("""
    abs acos acosh add amax amin any all arange argmax argmin asin asinh atan atanh bool bfloat16
    broadcast_shapes cat ceil celu chunk clamp complex64 complex128 cos cosh cumsum det div einsum erf exp eye
    float16 float32 float64 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu floor fmod
    full gather iinfo inf int8 int16 int32 int64 isinf isnan isneginf isposinf lerp log logsumexp matmul maximum
    mean minimum nan nonzero ones ones_like pow prod relu remainder round rsqrt sigmoid sign sin sinh softmax
    sort split sqrt square stack sum sym_max sym_min tan tanh tensor topk tril triu uint8 uint16 uint32 uint64
    where zeros zeros_like
""")
_NN = _words("""
    Module Parameter Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d Linear BatchNorm1d
    BatchNorm2d BatchNorm3d InstanceNorm1d InstanceNorm2d InstanceNorm3d LayerNorm Embedding PReLU
""")
_F = _words("""
    avg_pool1d avg_pool2d avg_pool3d batch_norm celu conv1d conv2d conv3d conv_transpose1d conv_transpose2d
    conv_transpose3d dropout elu gelu hardsigmoid hardswish instance_norm interpolate layer_norm leaky_relu
    linear local_response_norm log_softmax max_pool1d max_pool2d max_pool3d mish normalize one_hot pad
    pixel_shuffle pixel_unshuffle prelu relu relu6 selu softmax softplus softsign threshold
""")
_MATH = frozenset(("prod",))

#: Methods and attributes of tensors, shapes and types.
_MEMBERS = _words("""
    abs all amax amin any append argmax argmin bool ceil clamp clone cumsum device dim double dtype exp expand flatten
    flip float floor gather half index_put index_select int item log logsumexp long max mean min movedim narrow
    norm numel permute pow prod repeat reshape scatter scatter_reduce shape sign size sqrt
    square squeeze sum t to tolist transpose tril triu trunc unbind unflatten unsqueeze
""")
#: What may be read of a layer: its parameters (where they are tied) and statistics.
_WEIGHTS = _words("weight bias running_mean running_var")
_LAYERS = frozenset(f"nn.{name}" for name in _NN - {"Module", "Parameter"})
_ROOTS = {"torch": _TORCH, "nn": _NN, "F": _F, "math": _MATH}

_EXPRESSIONS = (
    ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Call, ast.Constant, ast.Attribute, ast.Subscript, ast.Name,
    ast.List, ast.Tuple, ast.Slice, ast.Starred, ast.IfExp, ast.keyword, ast.operator, ast.unaryop, ast.boolop,
    ast.cmpop, ast.expr_context, ast.arguments, ast.arg,
)  # fmt: skip
_STATEMENTS = (ast.Assign, ast.AugAssign, ast.Return, ast.Expr, ast.For, ast.If)


def check_source(text: str) -> None:
    """See that the source of a module is nothing but a model.

    Args:
        text: The source.

    Raises:
        UnsafeError: It holds something else; the message names the line and the construct.
    """
    if len(text) > DEFAULT.text_bytes:
        raise UnsafeError(f"the source has {len(text)} characters, more than {DEFAULT.text_bytes}")
    try:
        tree = ast.parse(text)
        _Check(tree).module(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnsafeError(f"is not Python source: {str(error)[:200]}") from None


class _Check:
    """Walks a module; every construct is one of those listed or an error."""

    def __init__(self, tree: ast.Module) -> None:
        self._defined: set[str] = set()
        for node in tree.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                if node.name in {*self._defined, *BUILTINS, *_ROOTS, "self"} or node.name.startswith("_"):
                    _refuse(node, f"another meaning of {node.name!r}")
                self._defined.add(node.name)
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        self._layers = {node.name: _attributes(node, {other.name for other in classes}) for node in classes}
        self._own: dict[str, str] | None = None  # attributes of the class that is looked at
        self._creates = False  # whether its __init__ is

    def module(self, tree: ast.Module) -> None:
        for index, node in enumerate(tree.body):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                if ast.unparse(node) not in _IMPORTS:
                    _refuse(node, f"{ast.unparse(node)!r}")
            elif isinstance(node, ast.ClassDef):
                self._class(node)
            elif isinstance(node, ast.FunctionDef):
                self._function(node)
            elif not (index == 0 and _is_text(node)):
                _refuse(node, f"a statement ({type(node).__name__}) outside of classes and functions")

    def _class(self, node: ast.ClassDef) -> None:
        plain = [ast.unparse(base) for base in node.bases] == ["nn.Module"]
        if not plain or node.keywords or node.decorator_list or getattr(node, "type_params", []):
            _refuse(node, f"class {node.name}, which is not a plain nn.Module")
        self._own = self._layers[node.name]
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef):
                self._method(inner)
            elif not _is_text(inner):
                _refuse(inner, f"a statement ({type(inner).__name__}) in the body of a class")
        self._own = None

    def _method(self, node: ast.FunctionDef) -> None:
        arguments = node.args
        if node.name not in ("__init__", "forward") or arguments.vararg:
            _refuse(node, f"function {node.name}")
        if arguments.posonlyargs or not arguments.args or arguments.args[0].arg != "self":
            _refuse(node, f"function {node.name} whose first argument is not self")
        self._creates = node.name == "__init__"
        self._function(node)
        self._creates = False

    def _function(self, node: ast.FunctionDef) -> None:
        arguments = [argument for argument in ast.walk(node.args) if isinstance(argument, ast.arg)]
        annotated = node.returns or any(argument.annotation for argument in arguments)
        if node.decorator_list or annotated or node.args.kwarg or getattr(node, "type_params", []):
            _refuse(node, f"function {node.name} with a decorator or annotation")
        bound = [argument.arg for argument in arguments][0 if self._own is None else 1 :]
        local = {*bound, *(n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))}
        if taken := local & {*BUILTINS, *_ROOTS, *self._defined, "self"}:
            _refuse(node, f"another meaning of {sorted(taken)[0]!r}")
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None and not isinstance(default, (ast.Constant, ast.UnaryOp)):
                _refuse(node, "a default that is not a constant")
            if isinstance(default, ast.UnaryOp) and not isinstance(default.operand, ast.Constant):
                _refuse(node, "a default that is not a constant")
        for statement in node.body:
            self._statement(statement, local | self._defined)

    def _statement(self, node: ast.stmt, names: set[str]) -> None:
        if not isinstance(node, _STATEMENTS):
            _refuse(node, f"a statement of the kind {type(node).__name__}")
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.stmt):
                self._statement(inner, names)
            else:
                self._expression(inner, names)

    def _expression(self, top: ast.AST, names: set[str]) -> None:
        """See to one expression; `names` are those that are values."""
        pending = [top]
        while pending:
            node = pending.pop()
            if not isinstance(node, _EXPRESSIONS):
                _refuse(node, f"an expression of the kind {type(node).__name__}")
            if isinstance(node, ast.Name) and node.id not in names:
                _refuse(node, f"the name {node.id!r} as a value")
            if isinstance(node, ast.Call) and self._is_known_call(node.func):
                pending += [*node.args, *node.keywords]
            elif isinstance(node, ast.Attribute) and self._is_known_attribute(node):
                continue
            elif isinstance(node, ast.Call) and not isinstance(node.func, (ast.Name, ast.Attribute)):
                _refuse(node, "a call of what is no name")
            else:
                pending.extend(ast.iter_child_nodes(node))

    def _is_known_call(self, function: ast.expr) -> bool:
        """Whether it is a call of a builtin, or one that only `__init__` makes."""
        if isinstance(function, ast.Name):
            return function.id in BUILTINS and function.id != "super"
        return self._creates and ast.unparse(function) in ("super().__init__", "self.register_buffer")

    def _is_known_attribute(self, node: ast.Attribute) -> bool:
        """Whether all of an attribute is known; False if its value must be looked at still."""
        base = node.value
        if isinstance(base, ast.Name) and base.id in _ROOTS:
            if node.attr not in _ROOTS[base.id] or not isinstance(node.ctx, ast.Load):
                _refuse(node, f"{base.id}.{node.attr}")
            return True
        if isinstance(base, ast.Name) and base.id == "self" and self._own is not None:
            if isinstance(node.ctx, ast.Load):
                if node.attr not in self._own and node.attr != "training":
                    _refuse(node, f"self.{node.attr}, which __init__ does not set")
            elif not self._creates or node.attr not in self._own:
                _refuse(node, f"an assignment to self.{node.attr}")
            return True
        if not isinstance(node.ctx, ast.Load):
            _refuse(node, f"an assignment to the attribute {node.attr!r}")
        layer = self._class_of(base)
        if layer is not None and (node.attr in _WEIGHTS or node.attr in self._layers.get(layer, ())):
            return True
        if node.attr not in _MEMBERS:
            _refuse(node, f"the attribute {node.attr!r}")
        return False

    def _class_of(self, node: ast.expr) -> str | None:
        """The class of a layer that is reached from `self`; None for anything else."""
        if not isinstance(node, ast.Attribute):
            return None
        if isinstance(node.value, ast.Name):
            return (self._own or {}).get(node.attr) or None if node.value.id == "self" else None
        return self._layers.get(self._class_of(node.value) or "", {}).get(node.attr) or None


def _attributes(cls: ast.ClassDef, classes: set[str]) -> dict[str, str]:
    """What a class sets on `self`: name → the class of the layer that it is, "" for anything else."""
    from torch import nn

    found: dict[str, str] = {}
    for node in ast.walk(cls):
        name = ""
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self" and isinstance(node.ctx, ast.Store):
            name = node.attr
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "self.register_buffer":
            first = node.args[0] if node.args else None
            name = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else "_"
        if not name:
            continue
        if name in found or name.startswith("_") or hasattr(nn.Module, name) or name == "training":
            _refuse(node, f"an assignment to self.{name}")
        found[name] = ""
    for node in ast.walk(cls):
        maker = (
            ast.unparse(node.value.func) if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) else ""
        )
        if isinstance(node, ast.Assign) and (maker in classes or maker in _LAYERS):
            found |= {target.attr: maker for target in node.targets if isinstance(target, ast.Attribute)}
    return found


def _refuse(node: ast.AST, what: str) -> NoReturn:
    line = getattr(node, "lineno", None)
    raise UnsafeError(
        f"the source holds {what[:200]}, which no generated model does",
        where=f"line {line}" if line else "",
        hint="load it with Python yourself if you trust who wrote it",
    )


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
