"""Something that can be run and compared: a model with the runtime that runs it, or answers recorded in a file."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from panmodel import formats
from panmodel.dtypes import STRING
from panmodel.errors import UnsupportedError, UsageError
from panmodel.io.sink import Sink
from panmodel.model.graph import Graph, Value
from panmodel.model.model import Model
from panmodel.model.tensorflow.graph import TensorFlowGraph
from panmodel.model.tensorflow.signature import default_signature
from panmodel.model.torch.source import TorchSource
from panmodel.runtimes import child, onnxruntime, tensorflow, torch
from panmodel.verify.implied import implied_shape

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Results:
    """What a run gave: outputs in the order of the signature, intermediate tensors in the order of computation."""

    outputs: Mapping[str, np.ndarray]
    layers: Mapping[str, np.ndarray] = field(default_factory=dict)


class Subject:
    """One side of a comparison.

    Attributes:
        label: What runs it, for the receipt.
        inputs: Its inputs with their types; empty if it takes none (recorded answers).
        output_names: Its outputs.
        declares: These are what the file says that the model gives, all of it, so that a model without one of them is
            another model. Of a TensorFlow graph they are wherever it was cut, and a recording may be of some.
        ends: What it would give if it had not been cut for the other side.
    """

    label: str
    inputs: Sequence[Value] = ()
    output_names: Sequence[str] = ()
    declares = True
    ends: Sequence[str] = ()

    def run(self, feeds: Mapping[str, np.ndarray], *, layers: bool) -> Results:
        """Run it on arrays by input name; with `layers`, intermediate tensors come too."""
        raise NotImplementedError

    @property
    def is_typed(self) -> bool:
        """Whether the types and shapes of its inputs are known."""
        return all(value.dtype is not None and value.shape is not None for value in self.inputs)

    def feeds(self, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The given arrays by the names of the inputs: by name, or the only one for the only one.

        Raises:
            UsageError: An input has none, or one of another rank than it takes.
        """
        plain = {_plain(name): array for name, array in given.items()}
        if len(given) == len(self.inputs) == 1:
            return {self.inputs[0].name: _fitting(self.inputs[0], next(iter(given.values())))}
        missing = [value.name for value in self.inputs if _plain(value.name) not in plain]
        if missing:
            hint = f"there are {', '.join(map(repr, given)) or 'none'}; name them with --input NAME=file.npy"
            raise UsageError(f"no array for input {missing[0]!r}", hint=hint)
        if not self.inputs:
            return dict(given)
        return {value.name: _fitting(value, plain[_plain(value.name)]) for value in self.inputs}

    def positioned(self, feeds: Mapping[str, np.ndarray], other: Subject) -> dict[str, np.ndarray]:
        """The other side's inputs by this side's names: equal names, else equal positions."""
        if not self.inputs:
            return {}
        plain = {_plain(name): array for name, array in feeds.items()}
        if all(_plain(value.name) in plain for value in self.inputs):
            return {value.name: plain[_plain(value.name)] for value in self.inputs}
        if len(self.inputs) != len(feeds):
            theirs = ", ".join(feeds)
            raise UsageError(f"{self.label} takes {len(self.inputs)} inputs, {other.label} {len(feeds)} ({theirs})")
        return {value.name: array for value, array in zip(self.inputs, feeds.values(), strict=True)}

    def paired(
        self, mine: Mapping[str, np.ndarray], other: Subject, theirs: Mapping[str, np.ndarray]
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Outputs that mean the same: equal names, else equal positions.

        Raises:
            UsageError: Neither fits.
        """
        plain = {_plain(name): array for name, array in theirs.items()}
        shared = [name for name in mine if _plain(name) in plain]
        if shared:
            yield from ((name, mine[name], plain[_plain(name)]) for name in shared)
        elif len(mine) == len(theirs) > 0:
            yield from ((name, a, b) for (name, a), b in zip(mine.items(), theirs.values(), strict=True))
        else:
            one, two = (", ".join(names) or "none" for names in (mine, theirs))
            raise UsageError(f"no output in common: {one} of {self.label}, {two} of {other.label}")

    def alone(self, mine: Iterable[str], theirs: Iterable[str]) -> list[str]:
        """Which of its outputs the other side lacks, where those that both have are told by their names."""
        others = {_plain(name) for name in theirs}
        own = {_plain(name): name for name in (*mine, *self.ends)}
        return [name for plain, name in own.items() if plain not in others] if others & own.keys() else []


def _fitting(value: Value, array: np.ndarray) -> np.ndarray:
    """An array for an input, in the input's own type (numpy makes float64 where nothing else is said).

    One that cannot be meant for it is refused here, and not by the runtime in its words.
    """
    import numpy as np

    try:
        array = np.asarray(array)  # a caller from Python may have given a list
    except ValueError as error:
        raise UsageError(f"what is given for input {value.name!r} is no array: {error}") from None
    takes = "" if value.shape is None else f"[{', '.join(map(str, value.shape))}]"
    message = f"input {value.name!r} takes {value.dtype or ''}{takes}, not {array.dtype}{list(array.shape)}"
    if value.shape is not None:
        if len(value.shape) != array.ndim:
            raise UsageError(message, hint="give it an array of as many dimensions")
        if any(isinstance(size, int) and size != given for size, given in zip(value.shape, array.shape, strict=True)):
            raise UsageError(message, hint="give it an array of these sizes")
    if value.dtype is None or value.dtype is STRING or array.dtype == value.dtype.numpy:
        return array
    if not np.can_cast(array.dtype, value.dtype.numpy, "same_kind"):
        raise UsageError(message, hint="give it an array of this type")
    return array.astype(value.dtype.numpy)


class Recorded(Subject):
    """Answers recorded in an .npz file, with or without the inputs that they answer."""

    declares = False

    def __init__(self, path: Path, arrays: dict[str, np.ndarray]) -> None:
        self.label = f"recorded in {path.name}"
        self.arrays = arrays
        self.output_names = tuple(arrays)

    def positioned(self, feeds: Mapping[str, np.ndarray], other: Subject) -> dict[str, np.ndarray]:
        """See `Subject.positioned`; what the other side takes tells what is no answer."""
        return dict(feeds)

    def run(self, feeds: Mapping[str, np.ndarray], *, layers: bool) -> Results:
        """See `Subject.run`; what was fed is no answer."""
        asked = {_plain(name) for name in feeds}
        return Results({name: array for name, array in self.arrays.items() if _plain(name) not in asked})


class OnnxSubject(Subject):
    """A hub graph, written to a temporary file and run by onnxruntime in a child process."""

    def __init__(self, graph: Graph, label: str = "") -> None:
        foreign = sorted({f"{node.domain}.{node.op}" for node in graph.nodes if node.domain not in ("", "ai.onnx.ml")})
        if foreign:
            raise UnsupportedError(f"operators of other domains are not run: {', '.join(foreign)}")
        self._graph = graph
        self.label = label or onnxruntime.label()
        self.inputs = _shaped(graph)
        self.output_names = tuple(graph.outputs)

    def run(self, feeds: Mapping[str, np.ndarray], *, layers: bool) -> Results:
        """See `Subject.run`."""
        wanted = dict(self._graph.outputs)
        if layers:
            named = {
                value.name: value for node in self._graph.nodes for value in node.outputs if value.dtype is not None
            }
            wanted = named | wanted
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            record = formats.by_name("onnx")
            assert record.write is not None
            with Sink(path) as sink:
                record.write(Model("onnx", replace(self._graph, outputs=wanted)), sink)
            found = child.call("onnxruntime", path, feeds, list(wanted), Path(folder))
        outputs = {name: found[name] for name in self.output_names}
        return Results(outputs, found if layers else {})


class TensorFlowSubject(Subject):
    """A TensorFlow graph, frozen and run by TensorFlow in a child process."""

    def __init__(self, model: Model, imported: Graph) -> None:
        self._model = model
        self.label = tensorflow.label()
        self.inputs = _shaped(imported)
        self.output_names = tuple(imported.outputs)
        self._names = [value.name for node in imported.nodes for value in node.outputs]

    def run(self, feeds: Mapping[str, np.ndarray], *, layers: bool) -> Results:
        """See `Subject.run`."""
        from panmodel.model.tensorflow.freeze import freeze

        assert isinstance(self._model.program, TensorFlowGraph)
        frozen = freeze(
            self._model.program, outputs=list(self.output_names), inputs=[value.name for value in self.inputs]
        )
        wanted = list(self.output_names)
        if layers:
            there = set(frozen.nodes)
            known = (
                name for name in self._names if name.rpartition(":")[0] in there and name.rpartition(":")[2].isdigit()
            )
            wanted = list(dict.fromkeys([*known, *wanted]))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.pb"
            record = formats.by_name("tensorflow_graph")
            assert record.write is not None
            with Sink(path) as sink:
                record.write(replace(self._model, program=frozen), sink)
            found = child.call("tensorflow", path, feeds, wanted, Path(folder))
        return Results({name: found[name] for name in self.output_names}, found if layers else {})


class TorchSubject(Subject):
    """Generated PyTorch source, written to a temporary folder and run by PyTorch in a child process."""

    def __init__(self, program: TorchSource) -> None:
        self._program = program
        self.label = torch.label()
        self.inputs = [Value(entry["tensor"], None, None) for entry in program.names.get("inputs", ())]
        self.output_names = tuple(entry["tensor"] for entry in program.names.get("outputs", ()))

    def run(self, feeds: Mapping[str, np.ndarray], *, layers: bool) -> Results:
        """See `Subject.run`."""
        names = self._program.names
        wanted = [entry["tensor"] for entry in names.get("values", {}).values()] if layers else []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.py"
            record = formats.by_name("torch_source")
            assert record.write is not None
            with record.sink(path) as sink:
                record.write(Model("torch_source", self._program), sink)
            found = child.call("torch", path, feeds, [*self.output_names, *wanted], Path(folder))
        outputs = {name: found[name] for name in self.output_names}
        return Results(outputs, found if layers else {})


def subject(model: Model | Recorded, other: Subject | None = None) -> Subject:
    """What runs a model.

    Args:
        model: The model, or recorded answers.
        other: The side that it will be compared with, whose inputs and outputs say where to cut a TensorFlow graph.

    Raises:
        UnsupportedError: It holds weights alone.
    """
    if isinstance(model, Recorded):
        return model
    program = model.program
    if isinstance(program, Graph):
        return OnnxSubject(program)
    if isinstance(program, TorchSource):
        return TorchSubject(program)
    if isinstance(program, TensorFlowGraph):
        return _tensorflow(model, program, other)
    raise UnsupportedError("holds weights alone, which cannot be run", where=model.source)


def _tensorflow(model: Model, program: TensorFlowGraph, other: Subject | None) -> Subject:
    """TensorFlow itself where it is installed; else the import as it is, before any pass has touched it."""
    from panmodel.importers.tensorflow.driver import import_graph

    inputs, outputs = _cut(program, other)
    graph = import_graph(model, inputs, outputs).program  # also the proof that every operator is one that we know
    assert isinstance(graph, Graph)
    if tensorflow.is_installed():
        found: Subject = TensorFlowSubject(model, graph)
    else:
        found = OnnxSubject(graph, f"{onnxruntime.label()} on the unoptimised import")
    found.declares = False
    if outputs is not None:
        with contextlib.suppress(UsageError):  # it has no end that can be told
            found.ends = default_signature(program)[1]
    return found


def _shaped(graph: Graph) -> list[Value]:
    """The inputs of a graph, with the shapes that it needs where it leaves them open."""
    return [Value(value.name, value.dtype, implied_shape(graph, value)) for value in graph.inputs]


def _cut(program: TensorFlowGraph, other: Subject | None) -> tuple[list[str] | None, list[str] | None]:
    def there(names: Sequence[str]) -> list[str] | None:
        found = [name for name in names if name.rpartition(":")[0] in program.nodes or name in program.nodes]
        return found or None

    if other is None:
        return None, None
    if isinstance(other, Recorded):
        placeholders = {name for name, node in program.nodes.items() if node.op.startswith("Placeholder")}
        names = other.output_names
        inputs = [name for name in names if _plain(name) in placeholders]
        return there(inputs), there([name for name in names if name not in inputs])
    return there([value.name for value in other.inputs]), there(other.output_names)


def _plain(name: str) -> str:
    return name.removesuffix(":0")
