"""TensorFlow SavedModel: a folder with the meta graphs (`saved_model.pb` or `.pbtxt`), variables and assets.

The variables are a checkpoint of format V2, under names or with a graph of objects. Its files, named by themselves, are
read as that checkpoint.

Source: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/protobuf/saved_model.proto
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from panmodel.errors import MissingFileError
from panmodel.io.source import Location
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model

if TYPE_CHECKING:
    from panmodel.model.tensorflow.bundle import BundleTensors
    from panmodel.model.tensorflow.saved_model import SavedModelFiles


def sniff(location: Location) -> bool:
    """See `Format.sniff`."""
    from panmodel.model.tensorflow.saved_model import find_saved_model

    return find_saved_model(location) is not None


def read(location: Location) -> Model:
    """Open a SavedModel: costs the meta graphs and the index of the variables.

    Args:
        location: The folder, or the file with the meta graphs.

    Raises:
        MissingFileError: There is none, or a file of the variables is missing.
        CorruptError: A file is damaged.
        UnsupportedError: The meta graphs are split into chunks.
    """
    from panmodel.model.tensorflow.checkpoint_model import checkpoint_model
    from panmodel.model.tensorflow.graph import meta_graph_from_proto
    from panmodel.model.tensorflow.saved_model import find_saved_model, serving_graph, typed_signatures

    files = find_saved_model(location)
    if files is None:
        raise MissingFileError("there is no SavedModel", where=str(location))
    proto = files.read()
    content = _variables(files)
    model = checkpoint_model(FORMAT.name, content.tensors if content else {}, str(files.program))
    model.notices = list(content.notices) if content else []
    meta = serving_graph(proto)
    graph, metadata = meta_graph_from_proto(meta, str(files.program))
    graph.variables = model.tensors
    model.program, model.source = graph, str(location)
    if version := metadata.pop("tensorflow_version", ""):
        metadata["version"] = version
    if signatures := typed_signatures(meta):
        metadata["signatures"] = signatures
    if content is not None:
        metadata["shards"] = content.bundle.header.num_shards
    model.metadata = {**metadata, **files.metadata(proto)}
    return model


def _variables(files: SavedModelFiles) -> BundleTensors | None:
    from panmodel.model.tensorflow.bundle import read_bundle_tensors

    variables = files.variables
    return read_bundle_tensors(variables.open_index(), variables.open_shard) if variables is not None else None


FORMAT = Format(
    name="tensorflow_saved_model",
    summary="TensorFlow SavedModel (folder with saved_model.pb or .pbtxt)",
    extensions=(),
    spec="https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/protobuf/saved_model.proto",
    holds=Holds.WEIGHTS | Holds.GRAPH | Holds.TRAINING | Holds.METADATA,
    sniff=sniff,
    read=read,
    dialect="tensorflow",
)
