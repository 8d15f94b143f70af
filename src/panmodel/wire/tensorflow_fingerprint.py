"""TensorFlow's fingerprint of a SavedModel: hashes of its parts.

Source: tensorflow/core/protobuf/fingerprint.proto
"""

from __future__ import annotations

from panmodel.wire.protobuf import Message, single
from panmodel.wire.tensorflow_messages import VersionDef


class FingerprintDef(Message):
    """The hashes, and a number for the saving itself."""

    saved_model_checksum: int = single(1, "uint64")
    graph_def_program_hash: int = single(2, "uint64")
    signature_def_hash: int = single(3, "uint64")
    saved_object_graph_hash: int = single(4, "uint64")
    checkpoint_hash: int = single(5, "uint64")
    version: VersionDef | None = single(6, lambda: VersionDef)
    uuid: str = single(7, "string")
