"""TensorFlow checkpoint, format V1, of before TensorFlow 1.0: one file, or shards, and perhaps a `.meta` beside.

Source: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/util/saved_tensor_slice.proto
"""

from __future__ import annotations

from panmodel.errors import MissingFileError, PanmodelError
from panmodel.io.source import Location
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model


def sniff(location: Location) -> bool:
    """See `Format.sniff`."""
    from panmodel.model.tensorflow.checkpoint_files_v1 import find_checkpoint_v1

    try:
        return find_checkpoint_v1(location) is not None
    except PanmodelError:  # the second format has the same state file, and says what is wrong with it
        return False


def read(location: Location) -> Model:
    """Open a checkpoint: costs the list of its tensors and the meta graph, whatever the size of the values.

    Args:
        location: Its name, any one of its files, the state file, or the folder.

    Raises:
        MissingFileError: A shard, or the checkpoint that the state file names, is not there.
        CorruptError: The list of tensors or the meta graph is damaged.
        UsageError: A folder holds several checkpoints.
    """
    from panmodel.model.partitioned import incomplete
    from panmodel.model.tensorflow.checkpoint_files_v1 import find_checkpoint_v1
    from panmodel.model.tensorflow.checkpoint_model import checkpoint_model
    from panmodel.model.tensorflow.checkpoint_v1 import read_v1_tensors

    files = find_checkpoint_v1(location)
    if files is None:
        raise MissingFileError("there is no checkpoint", where=str(location))
    tensors = read_v1_tensors(files.open())
    model = checkpoint_model(FORMAT.name, tensors, str(files.files[0]), meta=files.meta, state=files.state)
    model.notices = [*files.notices, *incomplete(tensors)]
    model.source = str(location)
    model.metadata = {**model.metadata, "shards": len(files.files)}
    return model


FORMAT = Format(
    name="tensorflow_checkpoint_v1",
    summary="TensorFlow checkpoint, format V1 (one file, or -?????-of-…, and .meta)",
    extensions=(),
    spec="https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/util/saved_tensor_slice.proto",
    holds=Holds.WEIGHTS | Holds.GRAPH | Holds.TRAINING | Holds.METADATA,
    sniff=sniff,
    read=read,
    dialect="tensorflow",
)
