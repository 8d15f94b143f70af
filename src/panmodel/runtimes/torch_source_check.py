"""What generated PyTorch source may hold; everything that is not listed here is refused."""

from __future__ import annotations

import ast

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
    abs all amax amin any append argmax argmin bool ceil clamp cumsum device dim double dtype exp expand flatten
    flip float floor gather half index_put index_select int item log logsumexp long max mean min movedim narrow
    norm numel permute pow prod register_buffer repeat reshape scatter scatter_reduce shape sign size sqrt
    square squeeze sum t to tolist transpose tril triu trunc unbind unflatten unsqueeze
""")
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
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnsafeError(f"is not Python source: {str(error)[:200]}") from None
    defined = {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    _Check(defined).module(tree)


class _Check:
    """Walks a module; every construct is one of those listed or an error."""

    def __init__(self, defined: set[str]) -> None:
        shadowed = defined & {*BUILTINS, *_ROOTS}
        if shadowed:
            raise UnsafeError(f"redefines {sorted(shadowed)[0]}")
        self._defined = defined

    def module(self, tree: ast.Module) -> None:
        for index, node in enumerate(tree.body):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                if ast.unparse(node) not in _IMPORTS:
                    self._refuse(node, f"{ast.unparse(node)!r}")
            elif isinstance(node, ast.ClassDef):
                self._class(node)
            elif isinstance(node, ast.FunctionDef):
                self._function(node, methods=False)
            elif not (index == 0 and _is_text(node)):
                self._refuse(node, f"a statement ({type(node).__name__}) outside of classes and functions")

    def _class(self, node: ast.ClassDef) -> None:
        if [ast.unparse(base) for base in node.bases] != ["nn.Module"] or node.keywords or node.decorator_list:
            self._refuse(node, f"class {node.name}, which is not a plain nn.Module")
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef):
                self._function(inner, methods=True)
            elif not _is_text(inner):
                self._refuse(inner, f"a statement ({type(inner).__name__}) in the body of a class")

    def _function(self, node: ast.FunctionDef, *, methods: bool) -> None:
        if node.decorator_list or node.returns or (node.args.vararg and methods) or node.args.kwarg:
            self._refuse(node, f"function {node.name} with a decorator or annotation")
        if (methods and node.name not in ("__init__", "forward")) or (not methods and node.name.startswith("_")):
            self._refuse(node, f"function {node.name}")
        local = {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
        local |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        if taken := local & {*BUILTINS, *_ROOTS, *self._defined}:
            self._refuse(node, f"another meaning of {sorted(taken)[0]!r}")
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None and not isinstance(default, ast.Constant):
                self._refuse(node, "a default that is not a constant")
        names = local | self._defined | {*BUILTINS, *_ROOTS}
        for statement in node.body:
            self._statement(statement, names)

    def _statement(self, node: ast.stmt, names: set[str]) -> None:
        if not isinstance(node, _STATEMENTS):
            self._refuse(node, f"a statement of the kind {type(node).__name__}")
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.stmt):
                self._statement(inner, names)
            else:
                self._expression(inner, names)

    def _expression(self, top: ast.AST, names: set[str]) -> None:
        for node in ast.walk(top):
            if not isinstance(node, _EXPRESSIONS):
                self._refuse(node, f"an expression of the kind {type(node).__name__}")
            if isinstance(node, ast.Attribute):
                self._attribute(node)
            elif isinstance(node, ast.Name) and (node.id not in names or node.id.startswith("__")):
                self._refuse(node, f"the name {node.id!r}")
            elif isinstance(node, ast.Call):
                self._call(node)

    def _attribute(self, node: ast.Attribute) -> None:
        if node.attr.startswith("__") and ast.unparse(node) != "super().__init__":
            self._refuse(node, f"the attribute {node.attr!r}")
        base = node.value
        if isinstance(base, ast.Name) and base.id in _ROOTS:
            if node.attr not in _ROOTS[base.id]:
                self._refuse(node, f"{base.id}.{node.attr}")
        elif isinstance(base, ast.Name) and base.id == "self":
            return  # the module's own: set by __init__, and its methods load and save nothing by themselves
        elif node.attr not in _MEMBERS and ast.unparse(node) != "super().__init__" and not _is_own(base):
            self._refuse(node, f"the attribute {node.attr!r}")

    def _call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Name):
            return  # names are checked: defined here, a local, or a builtin of the list
        if not isinstance(function, ast.Attribute):
            self._refuse(node, "a call of what is no name")

    def _refuse(self, node: ast.AST, what: str) -> None:
        line = getattr(node, "lineno", None)
        raise UnsafeError(
            f"the source holds {what}, which no generated model does",
            where=f"line {line}" if line else "",
            hint="load it with Python yourself if you trust who wrote it",
        )


def _is_own(base: ast.expr) -> bool:
    """Whether it is `self.something`, whose parameters may be read (tied weights)."""
    return isinstance(base, ast.Attribute) and isinstance(base.value, ast.Name) and base.value.id == "self"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
