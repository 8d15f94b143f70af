"""Telling the saver of a graph, which every training graph has, from operators that write where they should not.

The nodes that save and restore variables stand in a scope of their own, and whoever runs the graph asks for them by
name and feeds the file name. They are normal as long as no other node depends on them, since then nothing but such a
request runs them, and as long as their constants are no paths that lead elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from panmodel.io.source import Extent
from panmodel.model.finding import Level, Rule
from panmodel.model.scanner import Subject, climbs_out
from panmodel.scanners.tensorflow_operators import SAVERS
from panmodel.wire.tensorflow_messages import AttrValue, FunctionDef, GraphDef, NodeDef, SaverDef

SAVER = Rule(
    "PM-TF-SAVER",
    Level.NOTE,
    "The graph's own saver: it reads and writes checkpoints when it is asked to, under the name that it is given.",
    "Nothing: each training graph and SavedModel has one.",
)
MISUSE = Rule(
    "PM-TF-SAVER-MISUSE",
    Level.DANGEROUS,
    "The graph saves or restores files by itself, or under a name of its own choice.",
    "Do not run the graph; ask its author for one without these nodes.",
)
RULES = (SAVER, MISUSE)
_SAVE = re.compile(r"save(?:_\d+)?")
#: What TensorFlow's own saver holds file names against, or puts behind them.
_OWN_TEXTS = frozenset({"^s3://.*", "/part", "_temp/part", ".part", ""})


def judge_savers(
    subject: Subject, graph: GraphDef, saver: SaverDef | None, functions: Mapping[str, FunctionDef]
) -> None:
    """Report the saver of a graph: normal, or misused."""
    saving = _saving_functions(functions)
    seeds = [node for node in graph.node if node.op in SAVERS or (saving and saving & set(called_functions(node)))]
    orphans = [name for name in saving if not seeds]
    if not seeds and not orphans:
        return
    names = _entries(saver)
    scopes = {name.rpartition("/")[0] for name in names} - {""}
    outside = [name for name in _dependents(graph, seeds) if not _belongs(name, names, scopes)]
    bodies = [node for name in saving for node in functions[name].node_def]
    own = [node for node in graph.node if _belongs(node.name, names, scopes)]
    paths = [text for text in _texts([*own, *bodies]) if text not in _OWN_TEXTS and climbs_out(text)]
    for name in outside[:20]:
        subject.report(MISUSE, f"node {name[:200]!r} depends on the saving or restoring of files")
    for text in paths[:20]:
        subject.report(MISUSE, f"the saver has the file name {text[:200]!r}")
    if not outside and not paths:
        subject.report(SAVER, f"{len(seeds) or len(orphans)} nodes that save and restore checkpoints on request")


def called_functions(node: NodeDef) -> Iterator[str]:
    """The functions that a node calls: its operator, if it is one, and those in its attributes."""
    yield node.op
    for value in node.attr.values():
        yield from _functions_of(value)


def _functions_of(value: AttrValue) -> Iterator[str]:
    if value.func is not None:
        yield value.func.name
    if value.list is not None:
        yield from (each.name for each in value.list.func)


def _saving_functions(functions: Mapping[str, FunctionDef]) -> set[str]:
    """The functions that have operators of a saver in them, or call one that has."""
    callers: dict[str, set[str]] = {}
    found: set[str] = set()
    for name, function in functions.items():
        for node in function.node_def:
            if node.op in SAVERS:
                found.add(name)
            for callee in called_functions(node):
                if callee in functions:
                    callers.setdefault(callee, set()).add(name)
    pending = list(found)
    while pending:
        new = callers.get(pending.pop(), set()) - found
        found |= new
        pending.extend(new)
    return found


def _entries(saver: SaverDef | None) -> set[str]:
    if saver is None:
        return set()
    names = (saver.filename_tensor_name, saver.save_tensor_name, saver.restore_op_name)
    return {name.partition(":")[0] for name in names if name}


def _belongs(name: str, names: set[str], scopes: set[str]) -> bool:
    """Whether a node is the saver's, by its name or scope."""
    if name in names:
        return True
    lengths = {len(scope) for scope in scopes}
    place = name.find("/")
    begin = 0
    while place >= 0:
        if _SAVE.fullmatch(name, begin, place) or (place in lengths and name[:place] in scopes):
            return True
        begin, place = place + 1, name.find("/", place + 1)
    return False


def _dependents(graph: GraphDef, seeds: Iterable[NodeDef]) -> list[str]:
    """Names of the seeds and of every node that depends on one, in the order of the graph."""
    consumers: dict[str, list[str]] = {}
    for node in graph.node:
        for operand in node.input:
            consumers.setdefault(operand.lstrip("^").partition(":")[0], []).append(node.name)
    reached = {node.name for node in seeds}
    pending = list(reached)
    while pending:
        for name in consumers.get(pending.pop(), ()):
            if name not in reached:
                reached.add(name)
                pending.append(name)
    return [node.name for node in graph.node if node.name in reached]


def _texts(nodes: Iterable[NodeDef]) -> Iterator[str]:
    """The strings in constants."""
    for node in nodes:
        value = node.attr.get("value") if node.op == "Const" else None
        if value is None or value.tensor is None:
            continue
        for text in value.tensor.string_val:
            yield text.decode("utf-8", "replace")
        content = value.tensor.tensor_content
        if isinstance(content, Extent) and value.tensor.dtype == 7:
            yield content.read().decode("utf-8", "replace")
