"""TensorFlow meta graph on its own: a `.meta` file whose checkpoint is not beside it, binary or text.

It has the whole training graph and no weights: enough to look at.

Source: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/protobuf/meta_graph.proto
"""

from __future__ import annotations

import re
from itertools import islice

from panmodel.errors import PanmodelError
from panmodel.io.source import Location, Source
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.wire.protobuf import BYTES, decode, walk

_TOP_LEVEL = range(1, 8)
_TEXT = re.compile(rb"(\s|#[^\n]*+)*+(meta_info_def|graph_def)\s*:?\s*[{<]")


def sniff(location: Location) -> bool:
    """Whether the file is a meta graph, and no file of a checkpoint that is there too."""
    head = location.head(4096)
    if not head or _has_checkpoint(location):
        return False
    if _TEXT.match(head):
        return True
    try:
        return _begins_with_graph(location.open())
    except PanmodelError:
        return False


def _has_checkpoint(location: Location) -> bool:
    from panmodel.model.tensorflow.checkpoint_files import META, find_checkpoint
    from panmodel.model.tensorflow.checkpoint_files_v1 import find_checkpoint_v1

    if not location.path.name.endswith(META):
        return False
    try:
        return find_checkpoint(location) is not None or find_checkpoint_v1(location) is not None
    except PanmodelError:  # there is one, and something is wrong with it
        return True


def _begins_with_graph(source: Source) -> bool:
    """Whether what a meta graph begins with is there: perhaps what wrote it, and then a graph with a node."""
    from panmodel.wire.tensorflow_messages import MetaGraphDef

    for tag, _, offset, size, _ in islice(walk(source, (0, source.size, None)), 2):
        if tag & 7 != BYTES or tag >> 3 not in _TOP_LEVEL:
            return False
        if tag >> 3 == 1:
            info = decode(MetaGraphDef, source, 0, source.size).meta_info_def
            if info is None or not (info.tensorflow_version or info.tags or info.stripped_op_list):
                return False
        if tag >> 3 == 2:
            return _begins_with_node(source, offset, size)
    return False


def _begins_with_node(source: Source, offset: int, size: int) -> bool:
    from panmodel.wire.tensorflow_messages import NodeDef

    for tag, _, start, length, _ in islice(walk(source, (offset, size, None)), 1):
        if tag == 1 << 3 | BYTES:
            node = decode(NodeDef, source, start, length)
            return bool(node.name and node.op)
    return False


def read(location: Location) -> Model:
    """Open a meta graph.

    Args:
        location: The file.

    Raises:
        CorruptError: It is no MetaGraphDef.
    """
    from panmodel.model.tensorflow.graph import meta_graph

    graph, metadata = meta_graph(location)
    if version := metadata.pop("tensorflow_version", ""):
        metadata["version"] = version
    return Model(FORMAT.name, program=graph, metadata=metadata, source=str(location))


FORMAT = Format(
    name="tensorflow_meta",
    summary="TensorFlow meta graph (.meta) without its checkpoint: the graph, no weights",
    extensions=(".meta",),
    spec="https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/protobuf/meta_graph.proto",
    holds=Holds.GRAPH | Holds.METADATA,
    sniff=sniff,
    read=read,
    dialect="tensorflow",
)
