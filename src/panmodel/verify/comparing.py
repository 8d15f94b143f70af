"""Two models, run on the same inputs, and their outputs held against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from panmodel.formats import PathLike, by_name, read
from panmodel.io.source import Location
from panmodel.model.graph import Graph
from panmodel.model.model import Model
from panmodel.model.report import Verification
from panmodel.model.tensor_difference import require_tolerances
from panmodel.passes.cut import cut
from panmodel.verify.difference import array_difference, first_difference, missing
from panmodel.verify.inputs import describe, load, path_of, random_inputs, require_names
from panmodel.verify.subjects import Recorded, Subject, subject

if TYPE_CHECKING:
    import numpy as np


def files(
    first: PathLike,
    second: PathLike,
    inputs: Mapping[str, np.ndarray] | PathLike | None,
    *,
    seed: int,
    rtol: float,
    atol: float,
    layers: bool,
) -> Verification:
    """See `panmodel.verify`."""
    require_tolerances(rtol, atol)
    given = inputs if inputs is None or isinstance(inputs, Mapping) else load(inputs)
    opened = [_open(first), _open(second)]
    for model in opened:
        if isinstance(model, Recorded) and given is None:
            given = model.arrays
    return models(opened[0], opened[1], given, seed=seed, rtol=rtol, atol=atol, layers=layers)


def _open(path: PathLike) -> Model | Recorded:
    found = Location(path_of(path))
    is_recorded = found.is_file and by_name("npz").sniff(found)
    return Recorded(found.path, load(path)) if is_recorded else read(path)


def models(
    first: Model | Recorded,
    second: Model | Recorded,
    given: Mapping[str, np.ndarray] | None,
    *,
    seed: int,
    rtol: float,
    atol: float,
    layers: bool,
) -> Verification:
    """Compare two opened models; see `panmodel.verify`."""
    require_tolerances(rtol, atol)
    if given is not None:
        require_names(given)
    a, b = _subjects(first, second)
    fed = a if a.inputs else b
    if given is None and not fed.is_typed and b.inputs:
        fed = b
    feeds = fed.feeds(given) if given is not None else random_inputs(fed.inputs, seed)
    said = "the inputs given" if given is not None else describe(feeds, seed)
    left = a.run(a.positioned(feeds, b), layers=layers)
    right = b.run(b.positioned(feeds, a), layers=layers)
    outputs = [array_difference(name, x, y, rtol, atol) for name, x, y in a.paired(left.outputs, b, right.outputs)]
    only_a, only_b = a.alone(left.outputs, right.outputs), b.alone(right.outputs, left.outputs)
    if a.declares and not isinstance(b, Recorded):
        outputs += [missing(name, left.outputs[name].shape, "only in A") for name in only_a]
    if b.declares and not isinstance(a, Recorded):
        outputs += [missing(name, right.outputs[name].shape, "only in B") for name in only_b]
    compared, found = first_difference(left.layers, right.layers, rtol, atol) if layers else (0, None)
    return Verification(a.label, b.label, said, outputs, rtol, atol, compared, found, only_a, only_b)


def as_far_as(model: Model, result: Model) -> Model:
    """A model, from where what it was converted to begins to where that ends, as far as it has these values."""
    graph = model.program
    if not isinstance(graph, Graph):
        return model
    other = subject(result)
    there = {value.name for node in graph.nodes for value in node.outputs} | graph.outputs.keys()
    begins = [value.name for value in other.inputs]
    ends = [name for name in other.output_names if name in there]
    own = {value.name for value in graph.inputs}
    inner = not own.issuperset(begins) and there.union(own).issuperset(begins)
    return replace(model, program=cut(graph, begins if inner else None, ends or None))


def _subjects(first: Model | Recorded, second: Model | Recorded) -> tuple[Subject, Subject]:
    """Both sides, a TensorFlow graph cut where the other side begins and ends."""
    if not _is_tensorflow(first):
        one = subject(first)
        return one, subject(second, one)
    other = subject(second)
    one = subject(first, other)
    return one, subject(second, one) if _is_tensorflow(second) else other


def _is_tensorflow(model: Model | Recorded) -> bool:
    return isinstance(model, Model) and model.dialect == "tensorflow"
