"""Where a TensorFlow graph begins and where it ends: its inputs and outputs, when nobody has named them.

A `.meta` file holds a whole training graph: input pipeline, forward graph, loss, metrics, gradients, optimizer, saver
and summaries. What a user means by "the model" is the forward graph, from the tensors that are fed to the last tensor
before the labels join it. It is found by how the graph hangs together:

* what saves, restores, assigns, differentiates, summarises or checks is set aside, and all that is computed from it;
* a fed tensor that meets a weight on its way (`x @ W`) is an input; one that only ever meets what has been computed
  from other fed tensors is a label, and what depends on it is loss or metrics;
* the outputs are the last tensors of what is left: those that nothing, or nothing but loss and metrics, takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property

from panmodel.dtypes import DType
from panmodel.errors import UsageError
from panmodel.model.tensor import Tensor
from panmodel.model.tensorflow.graph import TensorFlowGraph, TensorFlowNode, split_name

VARIABLES = frozenset(["Variable", "VariableV2", "AutoReloadVariable", "TemporaryVariable", "VarHandleOp"])

#: Operators whose outputs come from outside the graph.
_FEEDS = re.compile(
    r"Placeholder(V2)?|_Arg|(Iterator|OneShotIterator|Multi.*Iterator)?GetNext(Sync|AsOptional)?|IteratorGetNext.*"
    r"|(Queue|PriorityQueue|FIFOQueue)?Dequeue.*|QueueDequeue.*|.*Unstage|StagePeek|ReaderRead.*|ReadFile|_Recv|RecvTPU.*"
)

#: Operators that no forward graph has: they change, save, check or show things, or go backwards.
_ASIDE = re.compile(
    r"(Ref)?NoOp|.*Assign(Add|Sub)?(Variable.*)?|Scatter(Add|Sub|Update|Mul|Div|Min|Max|NdUpdate|NdAdd|NdSub)"
    r"|ResourceScatter.*|CountUpTo|(Resource)?(Sparse)?Apply.*|Save(V2|Slices)?|Restore(V2|Slice)?|MergeV2Checkpoints"
    r"|ShardedFilename|.*Summary(V2)?|.*Assert|Print(V2)?|CheckNumerics.*|IsVariableInitialized|VarIsInitializedOp"
    r"|.*Grad(V2|V3|Ext|Args|WithArgmax|Inner)?|.*GradGrad.*|.*Backprop(Filter|Input|)(V2)?|.*InitializeTable.*"
    r"|LookupTable(Import|Insert|Export|Size).*|.*Enqueue.*|.*(Queue|Reader|Barrier|Iterator|Dataset)(Close|Size)?(V[0-9])?"
    r"|(Make|Serialize|Deserialize)Iterator|IteratorToStringHandle.*|.*Timestamp|PyFunc.*|EagerPyFunc|WriteFile|MatchingFiles"
)
#: The backward operators among them that forward graphs have too: a transposed convolution is one.
_NOT_ASIDE = frozenset(
    ["Conv2DBackpropInput", "Conv3DBackpropInputV2", "Conv3DBackpropInput", "DepthwiseConv2dNativeBackpropInput",
     "StopGradient", "PreventGradient"]
)  # fmt: skip

#: TensorFlow names the scope of what `tf.gradients` adds.
_GRADIENT_SCOPE = re.compile(r"(^|.*/)gradients(_\d+)?/")

#: Operators that make one number, or few, of many: after them a weight is a penalty rather than a layer's.
_REDUCTIONS = frozenset(["L2Loss", "Sum", "Mean", "Max", "Min", "Prod", "AddN", "Norm", "Abs", "Square"])
#: Operators that only metrics need of a prediction, and that no gradient passes.
_DECISIONS = frozenset(
    ["ArgMax", "ArgMin", "Round", "Rint", "Floor", "Ceil", "Equal", "NotEqual", "Greater", "GreaterEqual", "Less",
     "LessEqual", "Cast", "ToInt32", "ToInt64", "TopK", "TopKV2", "InTopK", "InTopKV2", "LogicalNot", "OneHot", "Sign"]
)  # fmt: skip
_ACTIVATIONS = frozenset(["Softmax", "LogSoftmax", "Sigmoid", "Tanh"])
#: Operators that give a tensor another form and leave its numbers.
_FORMS = frozenset(["Identity", "Reshape", "Squeeze", "ExpandDims", "StopGradient", "Cast"])
_CHECKS = re.compile(r".*Assert|Print(V2)?")
_WATCHERS = re.compile(r".*Assert|Print(V2)?|.*Summary(V2)?|.*Assign(Add|Sub)?(Variable.*)?|(Resource)?Scatter.*")
_BRANCHES = frozenset(["Switch", "RefSwitch", "Merge", "RefMerge"])
_MOST_OUTPUTS = 1000
#: Operators that take of a tensor its shape alone.
_SHAPES = frozenset(["Shape", "ShapeN", "Size", "Rank", "VariableShape", "ZerosLike", "OnesLike"])


def default_signature(graph: TensorFlowGraph) -> tuple[list[str], list[str]]:
    """The inputs and outputs of a graph, as tensor names.

    Those of its signature if it has one (`serving_default`, or the only one), else those of its forward graph.

    Args:
        graph: The graph.

    Raises:
        UsageError: Nothing in it looks like an output.
    """
    named = {name: signature for name, signature in graph.signatures.items() if not name.startswith("__")}
    chosen = named.get("serving_default") or (next(iter(named.values())) if len(named) == 1 else None)
    if chosen is not None:
        return list(dict.fromkeys(chosen.inputs.values())), list(dict.fromkeys(chosen.outputs.values()))
    forward = _Forward(graph)
    outputs = forward.outputs()
    if not outputs:
        hint = "name the tensors with --inputs and --outputs; `panmodel inspect --graph` lists the nodes"
        raise UsageError("cannot tell what the outputs of this graph are", where=graph.where, hint=hint)
    return forward.inputs(outputs), outputs


class _Forward:
    """The forward graph of a graph."""

    def __init__(self, graph: TensorFlowGraph) -> None:
        self.graph = graph
        self.consumers = graph.consumers()
        self.by_node: dict[str, list[str]] = {}
        for tensor in self.consumers:
            self.by_node.setdefault(split_name(tensor)[0], []).append(tensor)
        self.given = {name for name, node in graph.nodes.items() if _FEEDS.fullmatch(node.op)}
        self.aside = self._reached((name for name, node in graph.nodes.items() if _is_aside(node)), self.given)
        trained = [name for name in graph.collections.get("trainable_variables", ()) if name in graph.nodes]
        self.weights = trained or [name for name, node in graph.nodes.items() if node.op in VARIABLES]
        self.is_frozen = not self.weights
        if self.is_frozen:
            self.weights = [name for name, node in graph.nodes.items() if _is_weight(node)]
        shapes = {name for name, node in graph.nodes.items() if node.op in _SHAPES}
        self.stops = self.aside if self.is_frozen else self.aside | shapes  # no numbers pass through a shape

    @cached_property
    def feeds(self) -> dict[str, set[str]]:
        """Each tensor that comes from outside, and the nodes that depend on it."""
        tensors = [name for node in self.graph.nodes.values() if self._is_feed(node) for name in self._tensors(node)]
        return {tensor: self._reached(self._takers(tensor), self.stops) for tensor in tensors}

    @cached_property
    def fed(self) -> set[str]:
        """The nodes that depend on anything from outside."""
        return set().union(*self.feeds.values())

    @cached_property
    def weighted(self) -> set[str]:
        """The nodes that depend on weights."""
        return self._reached(self.weights, self.stops)

    @cached_property
    def layers(self) -> set[str]:
        """The nodes where what is fed meets a weight that is no penalty."""
        reductions = {name for name, node in self.graph.nodes.items() if node.op in _REDUCTIONS}
        pure = self._reached(self.weights, self.aside | self.fed | reductions)
        return {
            node.name
            for name in pure
            for tensor in self.by_node.get(name, ())
            for node in self.consumers[tensor]
            if node.name in self.fed and node.name not in self.aside
        }

    @cached_property
    def labels(self) -> list[str]:
        """The fed tensors that meet no weight, but something computed from others that did."""
        if self.is_frozen:  # nobody freezes a loss
            return []
        found = []
        for tensor, reached in self.feeds.items():
            if not reached & self.layers and any(self._joins(self.graph.nodes[name], tensor) for name in reached):
                found.append(tensor)
        return found

    @cached_property
    def judged(self) -> set[str]:
        """The nodes that depend on labels: loss and metrics."""
        if not self.labels and any(_GRADIENT_SCOPE.match(name) for name in self.graph.nodes):
            return self._reached(self._compared(), self.stops)
        return set().union(*(self.feeds[tensor] for tensor in self.labels))

    def _compared(self) -> list[str]:
        """Where an input that is its own label (of an autoencoder) meets what was made of it, after all layers."""
        raw = self.fed - self.weighted
        raw |= {split_name(tensor)[0] for tensor in self.feeds}
        found = []
        for name in (self.fed & self.weighted) - self.layers:
            sources = set(_sources(self.graph.nodes[name]))
            if sources & raw and sources & self.weighted & self.fed and not self._reached([name]) & self.layers:
                found.append(name)
        return found

    @cached_property
    def inside(self) -> set[str]:
        """The nodes of the forward graph."""
        inside = self.fed - self.judged - self.aside
        if self.weighted & inside and not self.is_frozen:
            inside &= self.weighted
        return inside

    def outputs(self) -> list[str]:
        """The last tensors of the forward graph, in the order of the graph."""
        last = self._last(self.inside - self._idle(self.inside)) or self._last(self.inside)
        if not last and self.is_frozen:  # nothing is fed: a graph of constants
            given = {split_name(tensor)[0] for tensor in self.feeds}
            last = self._last(set(self.graph.nodes) - self.fed - self.aside - given)
        if self.judged:
            last = self._predictions(last)
        return [tensor for node in last for tensor in _all_tensors(node)]

    def inputs(self, outputs: list[str]) -> list[str]:
        """The tensors from outside that these outputs need."""
        tensors = list(self.feeds)
        needed = self.graph.ancestors(outputs, tensors)
        taken = {name for node in needed for name in self.graph.nodes[node].inputs} | set(outputs)
        return [tensor for tensor in tensors if tensor in taken]

    def _predictions(self, last: list[TensorFlowNode]) -> list[TensorFlowNode]:
        """The predictions of a graph that goes on to loss and metrics.

        They are what loss and metrics take, with two corrections. What only prepares it (the terms of a cross entropy,
        a rounded or clipped copy) gives way to what it is prepared from. And where the numbers of a prediction go on
        into an activation or to the end of the graph, that is the output: probabilities rather than logits.
        """
        joined = [node for name, node in self.graph.nodes.items() if name in self.inside and self._is_joined(node)]
        ends: dict[str, list[TensorFlowNode]] = {}
        for node in (self._undecided(node) for node in joined):
            forms = ends.setdefault(self._core(node).name, [])
            if node not in forms:
                forms.append(node)
        before = {name: self.graph.ancestors([name]) for name in ends}
        cores = [name for name in ends if not any(self._prepares(name, other, before) for other in ends)]
        free = [self._undecided(node) for node in last if not self._is_joined(node)]
        found: set[str] = set()
        for core in cores:
            final = [node for node in ends[core] if self._activation(node) is not None]
            final += [node for node in free if self._follows(node.name, core, self.graph.ancestors([node.name]))]
            found |= {node.name for node in self._latest(final)} or {self._form(core, ends[core])}
        return [node for name, node in self.graph.nodes.items() if name in found]

    def _prepares(self, name: str, other: str, before: Mapping[str, set[str]]) -> bool:
        """Whether what a node gives to loss or metrics is only made of what another one gives."""
        return name != other and self._follows(name, other, before[name])

    def _follows(self, name: str, core: str, before: set[str]) -> bool:
        """Whether a node is computed from another one without a further layer."""
        if name == core or core not in before:
            return False
        between = before & self._reached([core]) - {core}
        return not between & self.layers

    def _latest(self, nodes: list[TensorFlowNode]) -> list[TensorFlowNode]:
        """Without those that another one is computed from."""
        before = [self.graph.ancestors([node.name]) - {node.name} for node in nodes]
        return [node for node in nodes if not any(node.name in earlier for earlier in before)]

    def _form(self, core: str, ends: list[TensorFlowNode]) -> str:
        """The prediction's last form (squeezed, say) if it has only one, else its plain numbers."""
        users = [user for user in self._users(self.graph.nodes[core]) if user.name not in self.aside]
        return ends[0].name if len(users) == 1 and len(ends) == 1 else core

    def _core(self, node: TensorFlowNode) -> TensorFlowNode:
        """The node whose numbers this one only gives another form, or an activation."""
        return self._base(self._activation(node) or node)

    def _activation(self, node: TensorFlowNode) -> TensorFlowNode | None:
        """What goes into the activation that a node is, in whatever form; None if it is none."""
        base = self._base(node)
        source = self.graph.node(base.inputs[0]) if base.op in _ACTIVATIONS and base.inputs else None
        return source if source is not None and source.name in self.inside else None

    def _base(self, node: TensorFlowNode) -> TensorFlowNode:
        """The node whose numbers this one only gives another form."""
        while node.op in _FORMS and node.inputs and split_name(node.inputs[0])[0] in self.inside:
            node = self.graph.node(node.inputs[0])
        return node

    def _undecided(self, node: TensorFlowNode) -> TensorFlowNode:
        """The node before what only turns a prediction into a decision."""
        while node.op in _DECISIONS and node.inputs and split_name(node.inputs[0])[0] in self.inside:
            node = self.graph.node(node.inputs[0])
        return node

    def _is_joined(self, node: TensorFlowNode) -> bool:
        """Whether loss or metrics take it."""
        return any(
            user.name in self.judged for tensor in self._tensors(node) for user in self.consumers.get(tensor, ())
        )

    def _users(self, node: TensorFlowNode) -> list[TensorFlowNode]:
        return [user for tensor in self.by_node.get(node.name, ()) for user in self.consumers[tensor]]

    def _last(self, inside: set[str]) -> list[TensorFlowNode]:
        """The nodes that no other one inside takes anything of."""
        nodes = (node for name, node in self.graph.nodes.items() if name in inside)
        return [node for node in nodes if not any(user.name in inside for user in self._users(node))]

    def _idle(self, inside: set[str]) -> set[str]:
        """The nodes inside that only checks, summaries or updates take, pivots of `cond`, and unused shapes."""
        watchers = _CHECKS if self.is_frozen else _WATCHERS
        pivots = {name for node in self.graph.nodes.values() for name in node.controls}
        idle: set[str] = set()
        pending = [self.graph.nodes[name] for name in inside]
        while pending:
            node = pending.pop()
            users = self._users(node)
            if users:
                is_idle = all(user.name in idle or watchers.fullmatch(user.op) for user in users)
            else:
                is_idle = node.op in _SHAPES or (node.name in pivots and self._base(node).op in _BRANCHES)
            if is_idle and node.name not in idle and (not users or not self._only_shapes(users)):
                idle.add(node.name)
                pending += [self.graph.nodes[source] for source in _sources(node) if source in inside]
        return idle

    def _only_shapes(self, users: list[TensorFlowNode]) -> bool:
        return all(user.op in _SHAPES for user in users)

    def _is_feed(self, node: TensorFlowNode) -> bool:
        if node.op == "PlaceholderWithDefault":  # a switch for dropout has a constant; an input has the pipeline
            ops = (self.graph.nodes[name].op for name in self.graph.ancestors(node.inputs))
            return any(_FEEDS.fullmatch(op) for op in ops)
        return _FEEDS.fullmatch(node.op) is not None

    def _tensors(self, node: TensorFlowNode) -> list[str]:
        """The tensors that a node makes, as far as anything takes them; its first one if nothing does."""
        return sorted(self.by_node.get(node.name, ()), key=lambda name: split_name(name)[1]) or [f"{node.name}:0"]

    def _joins(self, node: TensorFlowNode, label: str) -> bool:
        """Whether a fed tensor meets in this node what was computed from others and from weights."""
        sources = _sources(node)
        reached = self.feeds[label]
        mine = any(
            name == label or (source in reached and source not in self.weighted)
            for name, source in zip(node.inputs, sources, strict=True)
        )
        others = (name for name in sources if name in self.weighted and name in self.fed and name not in reached)
        return mine and next(others, None) is not None

    def _takers(self, tensor: str) -> Iterable[str]:
        return [node.name for node in self.consumers.get(tensor, ())]

    def _reached(self, start: Iterable[str], stops: Iterable[str] = ()) -> set[str]:
        """Names of the nodes that depend on these, they themselves included, not passing through others."""
        barred = set(stops)
        found = {name for name in start if name not in barred}
        pending = list(found)
        while pending:
            for tensor in self.by_node.get(pending.pop(), ()):
                for node in self.consumers[tensor]:
                    if node.name not in found and node.name not in barred:
                        found.add(node.name)
                        pending.append(node.name)
        return found


def _all_tensors(node: TensorFlowNode) -> list[str]:
    """All outputs of a node, as far as its attributes tell how many it has."""
    listed = [node.attributes.get(name) for name in ("Tout", "output_types", "T")]
    counts = [len(types) for types in listed if isinstance(types, list)]
    counts += [node.attributes[name] for name in ("num_split", "num") if isinstance(node.attributes.get(name), int)]
    return [f"{node.name}:{port}" for port in range(min(counts[0], _MOST_OUTPUTS) if counts else 1)]


def _sources(node: TensorFlowNode) -> list[str]:
    return [split_name(name)[0] for name in node.inputs]


def _is_aside(node: TensorFlowNode) -> bool:
    if _GRADIENT_SCOPE.match(node.name):
        return True
    return node.op not in _NOT_ASIDE and not _FEEDS.fullmatch(node.op) and _ASIDE.fullmatch(node.op) is not None


def _is_weight(node: TensorFlowNode) -> bool:
    """Whether a Const node of a frozen graph may be a weight: floats, and more than one."""
    if node.op != "Const":
        return False
    dtype = node.attributes.get("dtype")
    if not isinstance(dtype, DType) or not dtype.is_float:
        return False
    value = node.attributes.get("value")
    return isinstance(value, Tensor) and value.size > 1
