"""The folder of a SavedModel: which files are where, and what they say about the model.

Source: tensorflow/core/protobuf/{saved_model,meta_graph,fingerprint}.proto, tensorflow/python/saved_model/constants.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from panmodel.errors import CorruptError, PanmodelError, UnsupportedError
from panmodel.io.source import Location, Source
from panmodel.model.tensorflow.checkpoint_files import CheckpointFiles, find_checkpoint
from panmodel.model.tensorflow.tensor import dtype_from_proto, shape_from_proto
from panmodel.wire.protobuf import BYTES, VARINT, decode, walk
from panmodel.wire.prototext import decode_either
from panmodel.wire.tensorflow_fingerprint import FingerprintDef
from panmodel.wire.tensorflow_messages import MetaGraphDef, SavedModel, TensorInfo

_BINARY, _TEXT, _CHUNKED = "saved_model.pb", "saved_model.pbtxt", "saved_model.cpb"
_TEXT_HEAD = re.compile(rb"(\s|#[^\n]*+)*+(saved_model_schema_version\s*:|meta_graphs\s*:?\s*[{<])")
_SERVING = "serve"
_SCHEMA = 1


@dataclass(frozen=True)
class SavedModelFiles:
    """The files of a SavedModel.

    Attributes:
        program: The file with the meta graphs.
    """

    program: Location

    @property
    def variables(self) -> CheckpointFiles | None:
        """The checkpoint with the variables; None if there are none.

        Raises:
            MissingFileError: There are data, and no index.
        """
        found = find_checkpoint(Location(self.program.path.parent / "variables" / "variables"))
        if found is not None:
            found.open_index()
        return found

    def read(self) -> SavedModel:
        """The meta graphs.

        Raises:
            CorruptError: It is no SavedModel.
            UnsupportedError: It is split into chunks, or of a newer schema.
        """
        where = str(self.program)
        if self.program.path.name == _CHUNKED:
            message = "is a SavedModel in chunks, as TensorFlow splits graphs of more than 2 GB; these are not read"
            hint = "the weights alone can be read: name the prefix variables/variables in the same folder"
            raise UnsupportedError(message, where=where, hint=hint)
        proto = decode_either(SavedModel, self.program.open())
        if not proto.meta_graphs:
            raise CorruptError("a SavedModel without a meta graph", where=where)
        if proto.saved_model_schema_version > _SCHEMA:
            found = proto.saved_model_schema_version
            raise UnsupportedError(f"a SavedModel of schema {found}; {_SCHEMA} is known", where=where)
        return proto

    def metadata(self, proto: SavedModel) -> dict[str, Any]:
        """What the files beside the meta graphs say, and how many meta graphs there are."""
        found: dict[str, Any] = {"tag_sets": [list(_tags(meta)) for meta in proto.meta_graphs]}
        for folder in ("assets", "assets.extra"):
            place = self.program.beside(folder)
            if place.is_folder:
                found[folder] = place.names()
        if self.program.beside("keras_metadata.pb").is_file:
            found["keras_metadata"] = True
        fingerprint = self.program.beside("fingerprint.pb")
        if fingerprint.is_file:
            values = decode(FingerprintDef, fingerprint.open()).present()
            found["fingerprint"] = {name: value for name, value in values.items() if name != "version"}
        return found


def find_saved_model(location: Location) -> SavedModelFiles | None:
    """Find the SavedModel that a path means.

    Args:
        location: Its folder, or the file with the meta graphs. The files of its variables are a checkpoint.
    """
    if location.is_folder:
        named = (location.beside(name) for name in (_BINARY, _TEXT, _CHUNKED))
        return next((SavedModelFiles(file) for file in named if file.is_file), None)
    if not location.is_file:
        return None
    if location.path.name == _CHUNKED:
        return SavedModelFiles(location)
    is_text = _TEXT_HEAD.match(location.head(4096)) is not None
    return SavedModelFiles(location) if is_text or _begins_with_meta_graph(location) else None


def _begins_with_meta_graph(location: Location) -> bool:
    """Whether a file begins with a number and a message that has a graph, or says what wrote one."""
    try:
        source = location.open()
        fields = walk(source, (0, source.size, None))
        first, second = next(fields, None), next(fields, None)
        if first is None or second is None:
            return False
        return first[:2] == (1 << 3 | VARINT, _SCHEMA) and second[0] == 2 << 3 | BYTES and _is_meta(source, second)
    except PanmodelError:
        return False


def _is_meta(source: Source, field: tuple[int, int, int, int, bytes | None]) -> bool:
    meta = decode(MetaGraphDef, source, field[2], field[3])
    return meta.meta_info_def is not None and meta.has("graph_def")


def _tags(meta: MetaGraphDef) -> tuple[str, ...]:
    return tuple(meta.meta_info_def.tags) if meta.meta_info_def is not None else ()


def serving_graph(proto: SavedModel) -> MetaGraphDef:
    """The meta graph that is meant to be served, or else the first."""
    return next((meta for meta in proto.meta_graphs if _SERVING in _tags(meta)), proto.meta_graphs[0])


def typed_signatures(meta: MetaGraphDef) -> dict[str, Any]:
    """The signatures of a meta graph with the types and shapes that the file gives their tensors.

    Raises:
        CorruptError: A type is none that TensorFlow has, or a shape is none.
    """
    return {
        name: {
            "inputs": _typed(signature.inputs),
            "outputs": _typed(signature.outputs),
            "method": signature.method_name,
        }
        for name, signature in meta.signature_def.items()
    }


def _typed(infos: Mapping[str, TensorInfo]) -> dict[str, dict[str, Any]]:
    found = {}
    for key, info in infos.items():
        where = f"signature tensor {key!r}"
        dtype = dtype_from_proto(info.dtype, where)
        shape = shape_from_proto(info.tensor_shape, where) if info.tensor_shape is not None else None
        found[key] = {
            "tensor": info.name,
            "dtype": str(dtype) if dtype is not None else None,
            "shape": list(shape) if shape is not None else None,
        }
    return found
