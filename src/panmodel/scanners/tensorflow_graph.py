"""TensorFlow graphs: GraphDef, meta graph, SavedModel, in binary or text form.

A graph is a program. What it could do beyond arithmetic is told by its operators, those of its functions included.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from panmodel.errors import LimitError, PanmodelError
from panmodel.io.source import MemorySource, Source
from panmodel.model.finding import Level, Rule
from panmodel.model.scanner import UNREADABLE, Scanner, Subject, climbs_out
from panmodel.scanners import tensorflow_operators, tensorflow_saver
from panmodel.scanners.keras_config import RULES as KERAS_RULES
from panmodel.scanners.keras_config import scan_text
from panmodel.scanners.tensorflow_operators import CUSTOM, FILE, TABLE, TABLES, registered
from panmodel.wire.protobuf import BYTES, decode, walk
from panmodel.wire.prototext import decode_text, looks_like_text, text_head
from panmodel.wire.tensorflow_messages import FunctionDef, GraphDef, MetaGraphDef, NodeDef, SavedModel

ASSET = Rule(
    "PM-TF-ASSET-ESCAPE",
    Level.DANGEROUS,
    "A SavedModel names a file outside of its folder as its own.",
    "Do not load it.",
)
#: Each message, and where its nodes lie.
_CLASSES: dict[type[SavedModel] | type[MetaGraphDef] | type[GraphDef], tuple[int, ...]] = {
    SavedModel: (2, 2, 1),
    MetaGraphDef: (2, 1),
    GraphDef: (1,),
}
#: Fields of any of the messages that nodes lie in: nodes, functions, graphs and meta graphs.
_WITH_NODES = (1 << 3 | BYTES, 2 << 3 | BYTES)
_OPERATOR, _NODE_BYTES = re.compile(rb"_*[A-Z][A-Za-z0-9_>]*"), 4096


@dataclass
class _Graph:
    """One graph to look at, with the parts of its meta graph that matter."""

    graph: GraphDef
    meta: MetaGraphDef | None


def recognises(subject: Subject) -> bool:
    """Whether it has a node with a name and an operator, read as any of the three messages."""
    return any(graphs or error for graphs, error in subject.once(_readings))


def _readings(subject: Subject) -> list[tuple[list[_Graph], PanmodelError | None]]:
    return list(_read(subject.source))


def _read(source: Source) -> Iterator[tuple[list[_Graph], PanmodelError | None]]:
    """The graphs in the bytes, read as each of the three messages; or why one that has nodes is not to be read so.

    A file may be two of them at once. TensorFlow takes it for what the caller or its name says.
    """
    if not source.size:
        return
    head, may_have_nodes = text_head(source), _may_have_nodes(source)
    for cls, path in _CLASSES.items():
        is_text = looks_like_text(cls, head)
        if not (is_text or may_have_nodes):
            continue
        try:
            message = decode_text(cls, source) if is_text else decode(cls, source)
            yield [each for each in _within(message) if _has_node(each.graph)], None
        except (PanmodelError, RecursionError) as error:
            if is_text or any(_is_node(data) for data in _pieces(source, (0, source.size), path)):
                yield [], error if isinstance(error, PanmodelError) else LimitError("too deep", where=source.name)


def _may_have_nodes(source: Source) -> bool:
    """Whether the bytes, as far as they can be followed, have a field that one of the messages has nodes in."""
    fields = walk(source, (0, source.size, None), groups=True)
    while True:
        try:
            if next(fields)[0] in _WITH_NODES:
                return True
        except (StopIteration, PanmodelError):
            return False


def _pieces(source: Source, piece: tuple[int, int], path: tuple[int, ...]) -> Iterator[bytes]:
    """What lies at the path of a node, as far as the bytes can be followed."""
    fields = walk(source, (*piece, None), groups=True)
    while True:
        try:
            tag, _, begin, length, _ = next(fields)
        except (StopIteration, PanmodelError):
            return
        if tag != path[0] << 3 | BYTES:
            continue
        if len(path) > 1:
            yield from _pieces(source, (begin, length), path[1:])
        else:
            yield source.read(begin, min(length, _NODE_BYTES))


def _is_node(data: bytes) -> bool:
    """Whether bytes begin as a node with a name and an operator."""
    found: dict[int, bytes] = {}
    fields = walk(MemorySource(data, "node"), (0, len(data), data), groups=True)
    while True:
        try:
            tag, _, begin, length, _ = next(fields)
        except (StopIteration, PanmodelError):
            break
        found[tag] = data[begin : begin + length]
    name, op = found.get(1 << 3 | BYTES), found.get(2 << 3 | BYTES)
    return bool(name) and op is not None and _OPERATOR.fullmatch(op) is not None


def _within(message: SavedModel | MetaGraphDef | GraphDef) -> Iterator[_Graph]:
    if isinstance(message, SavedModel):
        for meta in message.meta_graphs:
            yield from _within(meta)
    elif isinstance(message, MetaGraphDef):
        if message.graph_def is not None:
            yield _Graph(message.graph_def, message)
    else:
        yield _Graph(message, None)


def _has_node(graph: GraphDef) -> bool:
    functions = graph.library.function if graph.library else ()
    bodies = (node for function in functions for node in function.node_def)
    return any(node.name and node.op for nodes in (graph.node, bodies) for node in nodes)


def scan(subject: Subject) -> None:
    """Judge every node, the saver, the assets, and the layers that Keras kept beside the graph."""
    for graphs, error in subject.once(_readings):
        for each in graphs:
            _scan_graph(subject, each)
        if error is not None:
            subject.report_error(error)
    _scan_keras_objects(subject)


def _scan_graph(subject: Subject, each: _Graph) -> None:
    library = list(each.graph.library.function) if each.graph.library else []
    functions: dict[str, FunctionDef] = {}
    for function in library:
        name = _name(function)
        if name in functions:
            subject.report(UNREADABLE, f"two functions have the name {name[:200]!r}")
        functions[name] = function
    assets = _assets(subject, each.meta)
    custom: dict[str, str] = {}
    for node, body in _nodes(each.graph, library):
        where = f"node {node.name[:200]!r}" + (f" of function {_name(body)[:200]!r}" if body else "")
        if node.op in TABLES:
            subject.report(TABLE if _is_own_file(node, body, assets) else FILE, f"{node.op}, {where}")
        elif judged := tensorflow_operators.judge(node):
            subject.report(judged[0], f"{judged[1]}, {where}")
        elif node.op not in registered() and node.op not in functions:
            custom.setdefault(node.op, where)
    for op, where in custom.items():
        subject.report(CUSTOM, f"{op[:200]!r}, {where}")
    tensorflow_saver.judge_savers(subject, each.graph, each.meta.saver_def if each.meta else None, functions)


def _name(function: FunctionDef) -> str:
    return function.signature.name if function.signature is not None else ""


def _nodes(graph: GraphDef, library: list[FunctionDef]) -> Iterator[tuple[NodeDef, FunctionDef | None]]:
    for node in graph.node:
        yield node, None
    for function in library:
        for node in function.node_def:
            yield node, function


def _is_own_file(node: NodeDef, function: FunctionDef | None, assets: set[str]) -> bool:
    """Whether a table's file is one of the model's own assets, or handed in where it has some."""
    if not assets or len(node.input) < 2:
        return False
    name = node.input[1].partition(":")[0]
    if function is None or function.signature is None:
        return name in assets
    return any(arg.name == name for arg in function.signature.input_arg)


def _assets(subject: Subject, meta: MetaGraphDef | None) -> set[str]:
    """Names of the tensors that hold the names of a SavedModel's own files."""
    found = set()
    for asset in meta.asset_file_def if meta else ():
        if climbs_out(asset.filename):
            subject.report(ASSET, f"names {asset.filename[:200]!r} as an asset")
        elif asset.tensor_info is not None:
            found.add(asset.tensor_info.name.partition(":")[0])
    return found


def _scan_keras_objects(subject: Subject) -> None:
    """The layers that Keras describes in the object graph: SavedModel 2, MetaGraphDef 7, nodes 1, user_object 4."""
    try:
        for data in _fields(subject.source, (0, subject.source.size), (2, 7, 1, 4, 3)):
            text = data.lstrip()
            if text.startswith(b"{"):
                scan_text(subject, text)
    except PanmodelError:
        return  # read as something that it is not; as what it is, it was looked at above


def _fields(source: Source, piece: tuple[int, int], path: tuple[int, ...]) -> Iterator[bytes]:
    offset, size = piece
    for tag, _, begin, length, _ in walk(source, (offset, size, None)):
        if tag == path[0] << 3 | BYTES:
            if len(path) == 1:
                yield source.read(begin, length)
            else:
                yield from _fields(source, (begin, length), path[1:])


SCANNER = Scanner(
    "TensorFlow graph",
    recognises,
    scan,
    (*tensorflow_operators.RULES, *tensorflow_saver.RULES, ASSET, *KERAS_RULES),
)
