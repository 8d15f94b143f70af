"""TensorFlow checkpoint, format V2: `PREFIX.index`, `PREFIX.data-SSSSS-of-NNNNN`, and perhaps `PREFIX.meta`.

Written are the index and one data file, or several of a certain size, and a graph of objects if the model has one.
A graph of operators is not: a `PREFIX.meta` that is there stays as it is.

Source: https://github.com/tensorflow/tensorflow/tree/master/tensorflow/core/util/tensor_bundle
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from panmodel.errors import MissingFileError, PanmodelError, UnsupportedError
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.model.tensor import Tensor


def sniff(location: Location) -> bool:
    """See `Format.sniff`."""
    from panmodel.model.tensorflow.checkpoint_files import find_checkpoint

    try:
        return find_checkpoint(location) is not None
    except PanmodelError:  # it is one, and `read` will say what is wrong with it
        return True


def read(location: Location) -> Model:
    """Open a checkpoint: costs the index and the meta graph, whatever the size of the data.

    Args:
        location: The prefix, any one of its files, the state file, or the folder.

    Raises:
        MissingFileError: The index, a data file, or the checkpoint that the state file names is not there.
        CorruptError: The index or the meta graph is damaged, or a tensor does not lie inside its data file.
        UsageError: A folder holds several checkpoints.
    """
    from panmodel.model.tensorflow.bundle import read_bundle_tensors
    from panmodel.model.tensorflow.checkpoint_files import find_checkpoint
    from panmodel.model.tensorflow.checkpoint_model import checkpoint_model

    files = find_checkpoint(location)
    if files is None:
        raise MissingFileError("there is no checkpoint", where=str(location))
    content = read_bundle_tensors(files.open_index(), files.open_shard)
    model = checkpoint_model(FORMAT.name, content.tensors, str(files.index), meta=files.meta, state=files.state)
    model.notices = [*files.notices, *content.notices]
    model.source = str(location)
    model.metadata = {
        **model.metadata,
        "shards": content.bundle.header.num_shards,
        "endianness": "big" if content.bundle.is_big_endian else "little",
    }
    return model


def write(model: Model, sink: Sink) -> None:
    """Write the tensors, and the graph of objects if the model has one.

    Partitioned variables are written whole, and slice by slice where some of the slices are missing. TensorFlow 1.15
    has no floats of eight bits and no elements of less: it lists such tensors, restores all others, and ends if it is
    asked for one.

    The state file `checkpoint` is made if the folder has none. One that is there is left as it is, with `force` as
    well: it says which checkpoint a training run goes on from, and that is not for a conversion to change.

    Raises:
        UnsupportedError: Tensors with elements or names that a checkpoint cannot hold.
        CorruptError: No slice of a tensor is there, or stored bytes are damaged.
    """
    from panmodel.model.tensorflow.bundle_writing import write_bundle
    from panmodel.model.tensorflow.checkpoint_files import STATE_FILE
    from panmodel.model.tensorflow.object_graph import GRAPH_KEY, ObjectGraph
    from panmodel.wire.tensor_bundle import CheckpointState, encode_checkpoint_state

    prefix = _prefix(sink.target.name)
    structure = model.structure
    if isinstance(structure, ObjectGraph):
        tensors: Mapping[str, Tensor] = structure.stored(model.tensors)
    elif GRAPH_KEY in model.tensors:
        raise UnsupportedError(f"TensorFlow keeps the name {GRAPH_KEY} for itself", where=str(sink.target))
    else:
        tensors = model.tensors
    write_bundle(tensors, prefix, sink)
    if not os.path.lexists(sink.target.with_name(STATE_FILE)):
        sink.open(STATE_FILE).write(encode_checkpoint_state(CheckpointState(prefix, (prefix,))))


def _files(target: str) -> tuple[str, ...]:
    from panmodel.model.tensorflow.checkpoint_files import INDEX
    from panmodel.wire.tensor_bundle import shard_name

    prefix = _prefix(target)
    return shard_name(prefix, 0, 1), prefix + INDEX


def _sharded_files(target: str) -> tuple[str, ...]:
    from panmodel.model.tensorflow.checkpoint_files import INDEX

    return (_prefix(target) + INDEX,)  # how many data files there will be is not known yet


def _prefix(target: str) -> str:
    from panmodel.model.tensorflow.checkpoint_files import INDEX

    return target[: -len(INDEX)] or target if target.lower().endswith(INDEX) else target


FORMAT = Format(
    name="tensorflow_checkpoint",
    summary="TensorFlow checkpoint, format V2 (.index, .data-…, .meta)",
    extensions=(".ckpt", ".index"),
    spec="https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/util/tensor_bundle/tensor_bundle.h",
    holds=Holds.WEIGHTS | Holds.GRAPH | Holds.TRAINING | Holds.METADATA,
    sniff=sniff,
    read=read,
    write=write,
    dialect="tensorflow",
    writes=Holds.WEIGHTS | Holds.TRAINING,
    files=_files,
    shards=_sharded_files,
    structures=frozenset({"tensorflow"}),
    keeps_parts=True,
)
