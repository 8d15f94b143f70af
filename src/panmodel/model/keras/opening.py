"""A file of Keras as a model: tensors, arrangement, training state and what it says about itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from panmodel.model.keras.configuration import parsed
from panmodel.model.keras.reading import read_contents
from panmodel.model.keras.structure import LayerGroups, Layout, is_asset
from panmodel.model.keras.tensor import DatasetTensor
from panmodel.model.model import Model
from panmodel.model.notice import MetadataLost, TensorsIncomplete
from panmodel.model.structure import training_told
from panmodel.model.tensor import Checksum
from panmodel.wire.hdf5 import Group

_CONFIGS = ("model_config", "training_config")


def model_of(
    name: str,
    root: Group,
    where: str,
    *,
    documents: Mapping[str, str] | None = None,
    checksum: Callable[[], Checksum] | None = None,
    at_once: bool = False,
    more: Sequence[Group] = (),
) -> Model:
    """Open the weights of Keras.

    Args:
        name: Name of the format.
        root: The root group of the HDF5 file.
        where: The file that the user named, for messages.
        documents: Name → text of what lies beside the weights.
        checksum: Makes what the HDF5 file is held against.
        at_once: Whether the few numbers of a training state are held against it as well, for which all of the file is
            read.
        more: The root groups of further files of the same model.

    Raises:
        CorruptError: The file contradicts itself.
    """
    found = read_contents(root, where, *more)
    structure = found.structure
    structure.documents.update(documents or {})
    if checksum is not None and at_once:
        _hold(found.tensors, checksum, where)
    # tensors of a TensorFlow checkpoint that were written to HDF5 still tell their slots by their names
    training = training_told(found.tensors, structure)
    if checksum is not None and not at_once:
        _hold(found.tensors, checksum, where)
    metadata = _metadata(structure)
    model = Model(name, None, found.tensors, training, structure, metadata, source=where)
    if found.skipped:
        model.notices.append(TensorsIncomplete("datasets that no tensor can be made of", tuple(found.skipped)))
    if found.dropped:
        model.notices.append(MetadataLost("attributes that are neither text nor numbers", tuple(found.dropped)))
    return model


def _hold(tensors: Mapping[str, DatasetTensor], checksum: Callable[[], Checksum], where: str) -> None:
    for tensor in tensors.values():
        tensor.hold_against(checksum, where)


def _metadata(structure: LayerGroups) -> dict[str, Any]:
    """What the file says about itself, configurations as plain values."""
    metadata: dict[str, Any] = {} if structure.layout is Layout.PATHS else {"framework": "keras"}
    for path in ("", structure.base):
        record = structure.groups.get(path)
        metadata.update(record.attributes if record else {})
    for key in _CONFIGS:
        if key in metadata:
            metadata[key] = parsed(metadata[key]) or metadata[key]
    for document, text in structure.documents.items():
        if is_asset(document):
            continue
        metadata[document.partition(".")[0]] = parsed(text) or text
    return metadata
