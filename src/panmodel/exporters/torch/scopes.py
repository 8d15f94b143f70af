"""Which class each step belongs to: one class per scope of the original names that holds several layers.

The scopes are those of the variables, since they name the parameters. A scope with one layer is no class: the layer
stands in the class around it, under the scope's name. Steps without weights go where their node's name says, or where
what they are between is. A scope that cannot be one call, because others compute between its steps, is opened into the
class around it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from panmodel.exporters.torch.emitter import Emitted, Module, Step
from panmodel.exporters.torch.naming import components
from panmodel.model.graph import Value

_ABSORBED = 8  # steps that a scope may draw in so that it becomes one call


@dataclass(eq=False)
class Scope:
    """A class to be.

    Attributes:
        path: Its scopes, outermost first.
        label: What it is called in the class around it.
        modules: Its layers, by what they are called in it.
        children: Classes inside it.
        steps: Its own steps, not those of its children.
    """

    path: tuple[str, ...]
    label: str = ""
    modules: dict[Module, str] = field(default_factory=dict)
    children: list[Scope] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def walk(self) -> Iterator[Scope]:
        """It and all inside it, inner ones first."""
        for child in self.children:
            yield from child.walk()
        yield self

    def all_steps(self) -> list[Step]:
        """Its steps and those inside it."""
        return [step for scope in self.walk() for step in scope.steps]

    def open(self, child: Scope) -> None:
        """Take in what a child holds, under joined names."""
        self.children.remove(child)
        for module, label in child.modules.items():
            self.modules[module] = f"{child.label}_{label}"
        for inner in child.children:
            inner.label = f"{child.label}_{inner.label}"
            self.children.append(inner)
        self.steps.extend(child.steps)


Item = Step | Scope


def arrange(emitted: Emitted) -> Scope:
    """Distribute the steps of a graph over classes.

    Returns:
        The scope of the whole model.
    """
    used: dict[Module, None] = {}
    layers = {}
    for step in emitted.steps:
        mine = [reference for reference in emitted.read(step.tree) if isinstance(reference, Module)]
        used.update(dict.fromkeys(mine))
        if mine:
            layers[step] = mine[0]
    root = _folded(_tree(used))
    owners = {module: scope for scope in root.walk() for module in scope.modules}
    by_path = {scope.path: scope for scope in root.walk()}
    for step in emitted.steps:
        if step in layers:
            scope = owners[layers[step]]
        else:
            scope = root if _is_at_the_border(step, emitted) else _named_scope(step, by_path, root)
        scope.steps.append(step)
    order = {step: index for index, step in enumerate(emitted.steps)}
    links = Links(emitted)
    _draw_in(root, links, layers, order)
    _open_cycles(root, links, order)
    _close_empty(root)
    return root


def _is_at_the_border(step: Step, emitted: Emitted) -> bool:
    """Whether a step brings an input of the model into its inner layout, or an output out of it."""
    if step.node.op not in ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Cast"):
        return False
    read = {found for found in emitted.read(step.tree) if isinstance(found, Value)}
    return read <= set(emitted.graph.inputs) or bool(set(step.outputs) & set(emitted.graph.outputs.values()))


def _tree(modules: Iterable[Module]) -> Scope:
    root = Scope(())
    for module in modules:
        scope = root
        for depth, part in enumerate(module.path, 1):
            found = next((child for child in scope.children if child.path[-1] == part), None)
            if found is None:
                found = Scope(module.path[:depth], part)
                scope.children.append(found)
            scope = found
        scope.modules[module] = module.kind
    return root


def _folded(scope: Scope) -> Scope:
    """Without scopes that hold one thing only."""
    children = [_folded(child) for child in scope.children]
    scope.children = []
    for child in children:
        if len(child.children) + len(child.modules) > 1:
            scope.children.append(child)
        elif child.modules:
            scope.modules[next(iter(child.modules))] = child.label
        else:
            scope.children.extend(child.children)
    if not scope.path and not scope.modules and len(scope.children) == 1:
        only = scope.children[0]
        return Scope(only.path, "", only.modules, only.children)
    return scope


def _named_scope(step: Step, by_path: Mapping[tuple[str, ...], Scope], root: Scope) -> Scope:
    """The innermost scope that the name of a node lies in."""
    parts = components(step.node.name)
    for depth in range(len(parts), 0, -1):
        if parts[:depth] in by_path:
            return by_path[parts[:depth]]
    return root


class Links:
    """Which steps read what which steps give."""

    def __init__(self, emitted: Emitted) -> None:
        self.makers = {value: step for step in emitted.steps for value in step.outputs if value is not None}
        self.sources: dict[Step, list[Step]] = {}
        self.readers: dict[Step, list[Step]] = {step: [] for step in emitted.steps}
        for step in emitted.steps:
            values = [found for found in emitted.read(step.tree) if isinstance(found, Value)]
            self.sources[step] = [self.makers[value] for value in values if value in self.makers]
            for source in self.sources[step]:
                self.readers[source].append(step)


def _reached(start: set[Step], links: Mapping[Step, list[Step]]) -> set[Step]:
    """Steps outside that can be reached from inside."""
    found: set[Step] = set()
    front = list(start)
    while front:
        for step in links[front.pop()]:
            if step not in found and step not in start:
                found.add(step)
                front.append(step)
    return found


def _draw_in(scope: Scope, links: Links, layers: Mapping[Step, Module], order: Mapping[Step, int]) -> None:
    """Steps without weights between the steps of a child belong to it, whatever they are called."""
    for child in scope.children:
        _draw_in(child, links, layers, order)
        inside = set(child.all_steps())
        between = _reached(inside, links.readers) & _reached(inside, links.sources)
        if between and len(between) <= _ABSORBED and between <= set(scope.steps) and between.isdisjoint(layers):
            child.steps.extend(sorted(between, key=order.__getitem__))
            scope.steps = [step for step in scope.steps if step not in between]


def _open_cycles(scope: Scope, links: Links, order: Mapping[Step, int]) -> None:
    """Children that cannot be one call each are opened until those that are left can."""
    while stuck := _stuck(scope, links, order):
        scope.open(min(stuck, key=lambda child: len(child.all_steps())))
    for child in scope.children:
        _open_cycles(child, links, order)


def _stuck(scope: Scope, links: Links, order: Mapping[Step, int]) -> list[Scope]:
    _, left = _sorted(scope, links, order)
    return [item for item in left if isinstance(item, Scope)]


def ordered(scope: Scope, links: Links, order: Mapping[Step, int]) -> list[Item]:
    """Steps and children of a scope, in an order in which each comes after what it reads.

    Args:
        scope: The scope.
        links: The links of its graph.
        order: Position of each step in the graph.
    """
    items, left = _sorted(scope, links, order)
    assert not left
    return items


def _sorted(scope: Scope, links: Links, order: Mapping[Step, int]) -> tuple[list[Item], list[Item]]:
    """Items as far as they can be ordered, and those in cycles."""
    item_of: dict[Step, Item] = {step: step for step in scope.steps}
    for child in scope.children:
        item_of.update(dict.fromkeys(child.all_steps(), child))
    waits: dict[Item, set[Item]] = {item: set() for item in item_of.values()}
    for step, item in item_of.items():
        waits[item] |= {item_of[source] for source in links.sources[step] if source in item_of} - {item}
    first = {
        item: min(order[step] for step in (item.all_steps() if isinstance(item, Scope) else [item])) for item in waits
    }
    followers: dict[Item, list[Item]] = {item: [] for item in waits}
    for item, sources in waits.items():
        for source in sources:
            followers[source].append(item)
    ready = [(first[item], id(item), item) for item, sources in waits.items() if not sources]
    heapq.heapify(ready)
    done: list[Item] = []
    while ready:
        item = heapq.heappop(ready)[2]
        done.append(item)
        for follower in followers[item]:
            waits[follower].discard(item)
            if not waits[follower]:
                heapq.heappush(ready, (first[follower], id(follower), follower))
    finished = set(done)
    return done, [item for item in waits if item not in finished]


def _close_empty(scope: Scope) -> None:
    """Children whose steps all went elsewhere."""
    for child in list(scope.children):
        _close_empty(child)
        if not child.all_steps():
            scope.children.remove(child)
