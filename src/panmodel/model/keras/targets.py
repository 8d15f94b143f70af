"""What a file for Keras is arranged like, whatever the model came from, and what Keras makes of it by its name.

Keras 3 reads a file by paths of variables if its name ends in .weights.h5, and by layers if it ends in .h5 alone; Keras
before 2.12 reads every file by layers. By layers means by position, or by the names of the layers with `by_name=True`;
the weights of a layer go by position in any case.

Source: keras/src/saving/saving_api.py (3.15), keras/engine/network.py (2.3.1)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from panmodel.model.keras.configuration import parsed
from panmodel.model.keras.order import in_order
from panmodel.model.keras.placing import VERSION, arranged, is_path
from panmodel.model.keras.structure import GroupRecord, LayerGroups, Layout, parents
from panmodel.model.keras.trained import weights_of_layers
from panmodel.model.model import Model
from panmodel.model.notice import Assumed, Notice, ReadOtherwise
from panmodel.model.tensor import Tensor
from panmodel.model.tensorflow.object_graph import ObjectGraph
from panmodel.model.tensorflow.objects import tracking_order
from panmodel.wire.hdf5.writing_datatypes import needs_name

#: What the names of files end with that Keras 3 reads by paths of variables.
BY_VARIABLES = (".weights.h5", ".weights.json")
_OPTIMIZER = "optimizer"  # what models of Keras track it as


def structure_for(model: Model) -> LayerGroups:
    """The arrangement that a model is written in: its own if it came from Keras, else one made of its names."""
    if isinstance(model.structure, LayerGroups):
        return model.structure
    training = model.training.names if model.training is not None else ()
    return arranged(_in_order_of_tracking(model), training, is_told=isinstance(model.structure, ObjectGraph))


def with_layers(structure: LayerGroups, tensors: Mapping[str, Tensor]) -> LayerGroups | None:
    """An arrangement by variables that lists these by layers, too, so that Keras loads it by either.

    Args:
        structure: Arranges tensors by paths of variables.
        tensors: All tensors by name.

    Returns:
        None if there is no configuration that tells the order of layers, and of the weights in each.
    """
    layers = weights_of_layers(structure, tensors)
    datasets = set(structure.places.values())
    if not layers or not all(is_path(layer) and datasets.isdisjoint(parents(layer)) for layer in layers):
        return None
    groups = {path: replace(record, attributes=dict(record.attributes)) for path, record in structure.groups.items()}
    for layer, keys in layers.items():
        for path in parents(layer):
            groups.setdefault(path, GroupRecord())
        groups[layer].weights = [(f"weight_{number}", key) for number, key in enumerate(keys)]
    groups[""].layers = list(layers)
    version = parsed(structure.documents.get("metadata.json")).get("keras_version")
    groups[""].attributes.setdefault("keras_version", version if isinstance(version, str) else VERSION)
    return replace(structure, groups=groups)


def remarks(model: Model, name: str) -> list[Notice]:
    """What Keras does not load as it is, and what was assumed so that it loads it.

    Args:
        model: What is written.
        name: The name of the file.
    """
    structure = structure_for(model)
    layout = structure.layout
    is_own = isinstance(model.structure, LayerGroups)
    if name.endswith(BY_VARIABLES):
        if layout is not Layout.VARIABLES:
            detail = (
                f"Keras 3 looks for paths of variables in a file that is named so, and this one has {_kind(layout)}: "
                "name the target .h5 for Keras to load it"
            )
            return [ReadOtherwise(detail)]
        detail = (
            "Keras finds variables by paths that number the layers of each class; the names were taken for such paths"
        )
        return [] if is_own else [Assumed(detail)]
    if layout is Layout.VARIABLES:
        if with_layers(structure, model.tensors) is not None:
            return []
        detail = (
            "Keras looks for layers in a file that is named so, and this one has paths of variables, which do not tell "
            "the order of layers: name the target .weights.h5 for Keras 3 to load it"
        )
        return [ReadOtherwise(detail)]
    return [] if is_own else _order(model)


def opaque(model: Model) -> list[Notice]:
    """What others take for opaque bytes, since HDF5 has no such elements."""
    if isinstance(model.structure, LayerGroups):  # Keras itself stores them so
        return []
    foreign = {tensor.dtype.name for tensor in model.tensors.values() if tensor.dtype.bits and needs_name(tensor.dtype)}
    detail = "h5py and Keras take these elements for opaque or plainer ones; panmodel reads them back as they are"
    return [ReadOtherwise(detail, tuple(sorted(foreign)))] if foreign else []


def _kind(layout: Layout) -> str:
    return "layers" if layout is Layout.LAYERS else "neither these nor layers"


def _order(model: Model) -> list[Notice]:
    """What was taken for the order of layers and weights, by which Keras loads them."""
    training = model.training.names if model.training is not None else ()
    weights = {name: tensor for name, tensor in _in_order_of_tracking(model).items() if name not in training}
    is_told = isinstance(model.structure, ObjectGraph)
    order = in_order(weights, is_told=is_told)
    said: list[Notice] = []
    if len(order.layers) > 1:
        taken = (
            "names, numbers by their value" if order.is_sorted else "objects" if is_told else "tensors in the source"
        )
        detail = f"Keras loads layers by position, unless by_name=True; they were put in the order of their {taken}"
        said.append(Assumed(detail, tuple(order.layers)))
    if order.unknown:
        detail = "Keras loads the weights of a layer by position; these are none of its own, and stay in their places"
        said.append(Assumed(detail, order.unknown))
    return said


def _in_order_of_tracking(model: Model) -> dict[str, Tensor]:
    """The tensors of a checkpoint of objects in the order in which the objects have them; of others as they are."""
    tensors = dict(model.tensors)
    if not isinstance(model.structure, ObjectGraph):
        return tensors
    nodes = model.structure.nodes
    tracked = (known.tensor for number in tracking_order(nodes, last=_OPTIMIZER) for known in nodes[number].attributes)
    return {name: tensors[name] for name in tracked if name in tensors} | tensors
