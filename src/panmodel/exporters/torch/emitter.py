"""From nodes to steps: each operator becomes one Python expression over placeholders.

Handlers see an `Emitter`: `emit(value)` gives the placeholder of an operand, `emit.module(...)` that of a layer with
weights; what names they get is decided later, when it is known which class each step belongs to (`scopes`, `classes`).
Nodes are visited from the outputs backwards, so that only what is needed becomes a step: sizes that a shape expression
of the source graph computes are read off the tensors themselves (`x.shape[0]`), and its nodes fall away.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from panmodel import dtypes
from panmodel.dtypes import DType
from panmodel.errors import CorruptError, UnsupportedError, UnsupportedOperator, UnsupportedOperatorsError
from panmodel.exporters.torch import literals
from panmodel.exporters.torch.naming import layer_path
from panmodel.exporters.torch.registry import handler_of
from panmodel.exporters.torch.sizes import Sizes
from panmodel.model.graph import Graph, Node, Value
from panmodel.model.symbolic import Size
from panmodel.model.tensor import Tensor

#: Unsigned types that PyTorch stores but hardly computes with; arithmetic on them is done in int64.
_STORED_ONLY = (dtypes.UINT16, dtypes.UINT32, dtypes.UINT64)
#: Operators that PyTorch has for them, since they only move elements, and those that are exact in int64 modulo 2**64.
_MOVES = frozenset(
    {"Cast", "Concat", "ConstantOfShape", "Expand", "Flatten", "Gather", "GatherND", "Identity", "Reshape", "Shape"}
    | {"Size", "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"}
)
_MODULAR = frozenset(("Add", "Sub", "Mul", "Neg", "Equal", "Where", "ReduceSum", "Sum", "Pad", "ScatterND"))


@dataclass(eq=False)
class Module:
    """A layer with weights.

    Attributes:
        constructor: "nn.Conv2d(1, 8, 3)".
        kind: What it is called where its variable does not tell ("conv").
        state: Name in the layer → tensor, in torch's layout.
        path: Scopes of its variable and its own name.
    """

    constructor: str
    kind: str
    state: dict[str, Tensor]
    path: tuple[str, ...]


@dataclass(eq=False)
class Parameter:
    """A tensor that no layer owns.

    Attributes:
        value: The initializer.
        trains: Whether it is an nn.Parameter; otherwise it is a buffer.
        expression: What it is created from, if its elements stand in the source; then it is no part of the state.
    """

    value: Value
    trains: bool
    expression: str | None


Reference = Value | Module | Parameter


@dataclass(eq=False)
class Step:
    """A statement of `forward`.

    Attributes:
        node: The node of the graph.
        outputs: Values that it gives, in the order of the tuple; None for those that nobody needs.
        tree: The expression; placeholders are names.
        module: The layer, if the expression is a call of one and nothing else.
    """

    node: Node
    outputs: tuple[Value | None, ...]
    tree: ast.expr
    module: Module | None = None


@dataclass(eq=False)
class Emitted:
    """A graph as steps in order, with what their placeholders stand for.

    Attributes:
        steps: In an order in which every value comes before its uses.
        references: Placeholder → value, layer or parameter.
        functions: Names of the functions of `functions` that are called.
    """

    graph: Graph
    steps: list[Step] = field(default_factory=list)
    references: dict[str, Reference] = field(default_factory=dict)
    placeholders: dict[Value, str] = field(default_factory=dict)
    functions: dict[str, None] = field(default_factory=dict)

    def read(self, tree: ast.AST) -> Iterator[Reference]:
        """What an expression refers to, as often as it does."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in self.references:
                yield self.references[node.id]


#: Expressions within each other; what walks them later recurses.
_DEEPEST = 256


def _depth(tree: ast.expr) -> int:
    depth, level = 0, [tree]
    while level:
        depth, level = (
            depth + 1,
            [child for node in level for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)],
        )
    return depth


#: What a handler raises on attributes and operands that the operator does not have.
_MALFORMED = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, SyntaxError)


class Emitter:
    """What handlers of operators work with.

    Args:
        graph: The graph to write.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.emitted = Emitted(graph)
        self.uses = graph.uses()
        self._sizes = Sizes(graph)
        self._modules: dict[object, str] = {}
        self._node = Node("", (), ())
        self._widened = False

    # Operands

    def __call__(self, value: Value | None) -> str:
        """The placeholder of an operand: a tensor, whatever it is."""
        if value is None:
            raise UnsupportedError("a required operand is left out")
        known = self.emitted.placeholders.get(value)
        if known is None:
            known = self._name("v", self._parameter(value) if value.tensor is not None else value)
            self.emitted.placeholders[value] = known
        return f"{known}.to(torch.int64)" if self._widened and value.dtype in _STORED_ONLY else known

    def number(self, value: Value | None) -> str | None:
        """A constant of one element as a Python number; None for anything else, and for weights."""
        if value is None or value.tensor is None or value.tensor.size != 1 or not self._is_literal(value):
            return None
        return literals.number(value.tensor.numpy().reshape(())[()])

    def scalar(self, value: Value | None, other: Value | None) -> str:
        """An operand of arithmetic with another: a Python number where that means the same, else the placeholder.

        Args:
            value: The operand.
            other: A tensor on the other side, which then decides rank and type of the result.
        """
        text = self.number(value)
        if value is None or text is None or other is None or self.number(other) is not None:
            return self(value)
        broadcasts = value.rank == 0 or (value.rank is not None and other.rank is not None and value.rank <= other.rank)
        return text if broadcasts and value.dtype is other.dtype else self(value)

    def integers(self, value: Value | None) -> tuple[int, ...] | None:
        """The elements of an operand that is known integers; None if they are not known."""
        if value is not None and value.shape is not None and 0 in value.shape:
            return ()
        if value is None or (value.content is None and (value.tensor is None or not value.tensor.size <= 4096)):
            return None
        array = value.array()
        return None if array is None or array.dtype.kind not in "iu" else tuple(int(n) for n in array.flat)

    def floats(self, value: Value | None) -> tuple[float, ...] | None:
        """The elements of an operand that is known numbers; None if they are not known."""
        array = value.tensor.numpy() if value is not None and value.tensor is not None else None
        return None if array is None or array.dtype.kind not in "iuf" else tuple(float(n) for n in array.flat)

    def sizes(self, value: Value | None) -> list[str] | None:
        """The elements of an operand that is sizes, each as an expression; None if one of them is not known."""
        if value is None or value.content is None:
            known = self.integers(value)
            return None if known is None else [str(number) for number in known]
        found = [self.size(size) for size in value.content.flat]
        return None if None in found else [text for text in found if text is not None]

    def elements(self, value: Value | None) -> list[str] | None:
        """Likewise, and read from the tensor where nothing else is known; None if not even their number is."""
        found = self.sizes(value)
        if found is not None or value is None:
            return found
        if value.node is not None and value.node.op == "Concat" and value.rank == 1:
            parts = [self.elements(part) for part in value.node.inputs]
            return None if None in parts else [text for part in parts for text in part or ()]
        if value.rank == 0:
            return [f"{self(value)}.item()"]
        if value.shape is None or len(value.shape) != 1 or not isinstance(value.shape[0], int):
            return None
        return [f"{self(value)}[{index}].item()" for index in range(value.shape[0])]

    def size(self, size: Size) -> str | None:
        """A size as an expression: a number, or made of sizes of tensors that are there; None if nothing has it."""
        return self._sizes.expression(size, self._node, lambda value: self._plain(value))

    def static(self, value: Value | None, what: str) -> tuple[int, ...]:
        """The elements of an operand that must be known integers.

        Args:
            value: The operand.
            what: What it is, for the message ("axes").
        """
        found = self.integers(value)
        if found is None:
            raise UnsupportedError(f"{what} are computed at run time")
        return found

    def rank(self, value: Value | None) -> int:
        """The rank of an operand that must have one that is known."""
        if value is None or value.rank is None:
            raise UnsupportedError("the rank of its operand is not known")
        return value.rank

    def dtype(self, dtype: DType | None) -> str:
        """The name of an element type: "torch.float32"."""
        if dtype is None or dtype.torch is None:
            raise UnsupportedError(f"PyTorch has no element type {dtype or 'that is unknown'}")
        return "torch.int64" if self._widened and dtype in _STORED_ONLY else f"torch.{dtype.torch}"

    def is_weight(self, value: Value | None, rank: int | None = None) -> bool:
        """Whether an operand is an initializer (of that rank) with floating-point elements."""
        return (
            value is not None
            and value.tensor is not None
            and value.dtype is not None
            and value.dtype.is_float
            and rank in (None, len(value.tensor.shape))
        )

    # Layers and functions

    def module(self, kind: str, constructor: str, options: Mapping[str, object], /, **state: Tensor | None) -> str:
        """The placeholder of a layer; the same weights under the same options are one layer.

        Args:
            kind: What it is called where its variable does not tell: "conv".
            constructor: Class and positional arguments without the closing parenthesis: "nn.Conv2d(1, 8, 3".
            options: Keyword arguments that differ from the defaults.
            state: Name in the layer → tensor, in torch's layout. The first decides where the layer lives.
        """
        tensors = {name: tensor for name, tensor in state.items() if tensor is not None}
        first = next(iter(tensors.values()))
        if first.dtype is not dtypes.FLOAT32:
            options = {**options, "dtype": self.dtype(first.dtype)}
        keywords = "".join(f", {name}={value}" for name, value in options.items())
        text = f"{constructor}{keywords})"
        key = (text, tuple((name, id(tensor.base), tensor.steps) for name, tensor in tensors.items()))
        if key not in self._modules:
            named = next((tensor.name for tensor in tensors.values() if tensor.name), "")
            named = named or next((name for tensor in tensors.values() for name in tensor.origins), self._node.name)
            module = Module(text, kind, tensors, layer_path(named, kind))
            self._modules[key] = self._name("m", module)
        return self._modules[key]

    def function(self, name: str) -> str:
        """The name of a function of `functions`, which the file then defines."""
        self.emitted.functions[name] = None
        return name

    # Steps

    def run(self) -> Emitted:
        """Write every node that the outputs need.

        Raises:
            UnsupportedOperatorsError: Some cannot be written; all of them are listed.
        """
        needed = set(self.graph.outputs.values())
        refused = []
        for node in reversed(self.graph.nodes):
            if needed.isdisjoint(node.outputs):
                continue
            try:
                steps = self._steps(node, needed)
            except UnsupportedError as error:
                operator = f"{node.domain}.{node.op}" if node.domain else node.op
                refused.append(UnsupportedOperator(operator, node.name or node.output.name, error.message))
                needed.update(value for value in node.inputs if value is not None)
                continue
            except _MALFORMED as error:
                found = f"malformed {node.op} ({type(error).__name__}: {str(error)[:200]})"
                raise CorruptError(found, where=f"node {node.name!r}") from error
            for step in steps:
                needed.update(value for value in self.emitted.read(step.tree) if isinstance(value, Value))
            self.emitted.steps.extend(reversed(steps))
        if refused:
            raise UnsupportedOperatorsError(refused[::-1])
        for value in (*self.graph.inputs, *self.graph.outputs.values()):
            self(value)
        self.emitted.steps.reverse()
        return self.emitted

    def _steps(self, node: Node, needed: set[Value]) -> list[Step]:
        self._node = node
        if dtypes.STRING in {value.dtype for value in (*node.inputs, *node.outputs) if value is not None}:
            raise UnsupportedError("PyTorch has no tensors of strings")
        handler = handler_of(node, self.graph.opset)
        self._widened = self._widens(node)
        try:
            written = handler(node, self)
        finally:
            self._widened = False
        if isinstance(written, tuple):
            pairs = [(value, text) for value, text in zip(node.outputs, written, strict=True) if value in needed]
            return [Step(node, (value,), self._tree(text, value, node)) for value, text in pairs]
        outputs = tuple(value if value in needed else None for value in node.outputs)
        if len(outputs) > 1 and any(value.dtype in _STORED_ONLY for value in node.outputs) and self._widens(node):
            raise UnsupportedError(f"PyTorch does not compute with {node.output.dtype}")
        tree = self._tree(written, node.output if len(outputs) == 1 else None, node)
        return [Step(node, outputs, tree, self._called(tree))]

    def _tree(self, text: str, value: Value | None, node: Node) -> ast.expr:
        if value is not None and value.dtype in _STORED_ONLY and self._widens(node):
            text = f"({text}).to({self.dtype(value.dtype)})"
        try:
            tree = ast.parse(text, mode="eval").body
        except (RecursionError, MemoryError, SyntaxError):  # Python nests no deeper
            tree = None
        if tree is None or _depth(tree) > _DEEPEST:
            raise UnsupportedError(f"its expression is too long ({len(node.inputs)} operands)")
        return tree

    def _widens(self, node: Node) -> bool:
        operands = {value.dtype for value in node.inputs if value is not None}
        if node.op in _MOVES or operands.isdisjoint(_STORED_ONLY):
            return False
        if dtypes.UINT64 in operands and node.op not in _MODULAR:
            raise UnsupportedError("PyTorch does not compute with uint64")
        return True

    def _called(self, tree: ast.expr) -> Module | None:
        if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
            return None
        found = self.emitted.references.get(tree.func.id)
        return found if isinstance(found, Module) else None

    def _plain(self, value: Value) -> str:
        before, self._widened = self._widened, False
        try:
            return self(value)
        finally:
            self._widened = before

    def _name(self, kind: str, reference: Reference) -> str:
        name = f"_{kind}{len(self.emitted.references)}"
        self.emitted.references[name] = reference
        return name

    def _is_literal(self, value: Value) -> bool:
        return value.literal or (value.dtype is not None and not value.dtype.is_float)

    def _parameter(self, value: Value) -> Parameter:
        assert value.tensor is not None
        dtype, shape = self.dtype(value.dtype), value.tensor.shape
        if not value.literal:
            assert value.dtype is not None
            return Parameter(value, value.dtype.is_float, None)
        return Parameter(value, False, literals.tensor(value.tensor, dtype) if _is_small(shape) else None)


def _is_small(shape: Sequence[int]) -> bool:
    size = 1
    for extent in shape:
        size *= extent
    return size <= 16
