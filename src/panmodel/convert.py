"""The verbs that write: plan a conversion (`plan`), run it, verify it, and make out the receipt."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panmodel import formats
from panmodel.errors import LossyError, UnsupportedError, UsageError, VerificationError
from panmodel.formats import PathLike, read
from panmodel.model.format import Format, Holds
from panmodel.model.graph import Graph
from panmodel.model.model import Model
from panmodel.model.notice import GraphLost, Notice, TensorsUnused, TrainingStateLost
from panmodel.model.report import Report, Verification
from panmodel.model.tensorflow.graph import TensorFlowGraph
from panmodel.model.torch.source import TorchSource
from panmodel.model.training import TrainingState
from panmodel.plan import Names, Plan, Request, plan

if TYPE_CHECKING:
    import torch


def write(model: Model, path: PathLike, *, to: str | None = None, force: bool = False) -> Report:
    """Write a model as it is, in the format that the target's name tells.

    Args:
        model: What to write; its graph must be in the dialect of the target (`convert` takes care of that).
        path: Target.
        to: Name of the format, where the target's name does not tell.
        force: Replace what is there.
    """
    target = Path(path)
    return _finish(model, target, _target_format(target, to), Plan(), force=force)


def convert(
    source: PathLike,
    target: PathLike,
    *,
    to: str | None = None,
    inputs: Names = None,
    outputs: Names = None,
    verify: bool = False,
    weights_only: bool = False,
    strict: bool = False,
    force: bool = False,
    dry_run: bool = False,
) -> Report:
    """Convert a model file into another format.

    Args:
        source: What `read` opens.
        target: File to write; its name tells the format.
        to: Name of the format, where the target's name does not tell.
        inputs: Tensors ("name:port") that become the inputs; found by themselves if left out.
        outputs: Tensors that become the outputs; likewise.
        verify: Run source and result on the same inputs and compare.
        weights_only: Move the tensors as they are, without any graph.
        strict: Refuse to lose anything.
        force: Replace files that are there.
        dry_run: Do everything except writing.

    Returns:
        The receipt.

    Raises:
        UnsupportedOperatorsError: Operators that have no converter, all of them.
        LossyError: With `strict`, something would be lost.
        VerificationError: With `verify`, the results differ; nothing is written.
    """
    began = time.monotonic()
    path = Path(target)
    record = _target_format(path, to)
    if _is_same(Path(source), path):
        raise UsageError("is both source and target", where=str(path))
    model = read(source)
    chosen = plan(model, record, Request(inputs, outputs, _weights_file(path)), weights_only=weights_only)
    if not dry_run and not force:
        record.sink(path).require_free()
    result = chosen.run(model)
    result.notices.extend(_losses(model, record, chosen, weights_only=weights_only))
    result.notices.extend(_unused(model, result))
    if strict and result.notices:
        losses = "\n".join(f"  {notice}" for notice in result.notices)
        raise LossyError(f"something would be lost:\n{losses}", where=str(source), hint="leave out --strict to go on")
    verification = _verified(model, result, str(source)) if verify else None
    report = _finish(result, path, record, chosen, origin=model.format, force=force, dry_run=dry_run)
    report.verification = verification
    report.seconds = time.monotonic() - began
    return report


def to_torch(source: PathLike, *, inputs: Names = None, outputs: Names = None) -> torch.nn.Module:
    """Convert to a PyTorch module in memory: the generated source, executed, with its weights loaded.

    Args:
        source: What `read` opens, with a graph.
        inputs: Tensors that `forward` takes, in this order; found by themselves if left out.
        outputs: Tensors that it returns; likewise.
    """
    from panmodel.runtimes import torch as runtime

    model = read(source)
    result = plan(model, formats.by_name("torch_source"), Request(inputs, outputs)).run(model)
    assert isinstance(result.program, TorchSource)
    return runtime.build(result.program)


def _weights_file(target: Path) -> str:
    """Where the weights of PyTorch source will be: in the target, or beside it if the target is the source itself."""
    return target.name if target.suffix != ".py" else f"{target.stem}.safetensors"


def _is_same(source: Path, target: Path) -> bool:
    if source.exists() and target.exists():
        return os.path.samefile(source, target)
    return source.absolute() == target.absolute()  # the prefix of several files is none itself


def _target_format(path: Path, to: str | None) -> Format:
    record = formats.by_name(to) if to else formats.for_target(path)
    if record.write is None:
        raise UnsupportedError(f"{record.name} is read, not written", where=str(path))
    return record


# Receipts


def _losses(model: Model, record: Format, plan: Plan, *, weights_only: bool) -> list[Notice]:
    """What the target has no place for."""
    lost: list[Notice] = []
    if model.program is not None and not plan.keeps_graph and not weights_only:
        lost.append(GraphLost(f"the graph is not kept: {record.name} is written with weights alone"))
    if model.training is not None and not record.keeps & Holds.TRAINING:
        lost += _training_losses(model, model.training, record, tensors_move=not plan.keeps_graph)
    return lost


def _unused(model: Model, result: Model) -> list[Notice]:
    """Variables of a checkpoint that the converted graph does not read; what is training state is said elsewhere."""
    if not isinstance(model.program, TensorFlowGraph):
        return []
    if isinstance(result.program, Graph):
        kept = [value.tensor for value in result.program.initializers() if value.tensor is not None]
    elif isinstance(result.program, TorchSource):
        kept = list(result.program.state.values())
    else:
        return []
    said = {name for tensor in kept for name in tensor.origins}
    if model.training is not None:
        slots = {id(tensor) for kinds in model.training.slots.values() for tensor in kinds.values()}
        said |= {name for name, tensor in model.program.variables.items() if id(tensor) in slots}
        said |= {*model.training.hyperparameters, "global_step"}
    unused = tuple(name for name in model.program.variables if name not in said)
    return [TensorsUnused("the converted graph does not use", unused)] if unused else []


def _training_losses(model: Model, training: TrainingState, record: Format, *, tensors_move: bool) -> list[Notice]:
    """What is lost of a training state; its tensors are not where all tensors move as they are."""
    lost: list[Notice] = []
    slots = tuple(f"{variable} ({slot})" for variable, kinds in training.slots.items() for slot in kinds)
    if slots and not tensors_move:
        lost.append(TrainingStateLost(f"optimizer slots are not kept in {record.name}", slots))
    for what, number in (("step", training.step), ("epoch", training.epoch)):
        if number is not None and not (tensors_move and _is_stored(model, number)):
            lost.append(TrainingStateLost(f"the {what} ({number}) is not kept in {record.name}"))
    scalars = tuple(name for name in training.hyperparameters if not (tensors_move and name in model.tensors))
    if scalars and tensors_move:
        lost.append(TrainingStateLost(f"hyper-parameters are not kept in {record.name}", scalars))
    return lost


def _is_stored(model: Model, number: int) -> bool:
    """Whether a scalar tensor of the model is that number."""
    scalars = (tensor for tensor in model.tensors.values() if tensor.size == 1 and tensor.dtype.is_integer)
    return any(int(tensor.numpy().reshape(())) == number for tensor in scalars)


def _finish(
    model: Model,
    path: Path,
    record: Format,
    plan: Plan,
    *,
    origin: str = "",
    force: bool = False,
    dry_run: bool = False,
) -> Report:
    """Write, and make out the receipt."""
    read_as = origin or model.format
    report = Report(model.source, read_as, str(path), record.name, notices=model.notices, dry_run=dry_run)
    report.steps = [step.title for step in plan.steps]
    if not dry_run:
        assert record.write is not None
        with record.sink(path, force=force) as sink:
            record.write(model, sink)
        report.files, report.nbytes = tuple(str(file) for file in sink.files), sink.nbytes
    _describe(model, report)
    report.peak_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return report


def _describe(model: Model, report: Report) -> None:
    program = model.program
    report.tensors = len(model.tensors)
    if isinstance(program, Graph):
        report.tensors = len(program.initializers())
        report.inputs = [f"{value.name} {value.dtype}{_dims(value.shape)}" for value in program.inputs]
        report.outputs = [f"{name} {value.dtype}{_dims(value.shape)}" for name, value in program.outputs.items()]
        from panmodel.passes.layout import permutes

        report.permutes = permutes(program)
    elif isinstance(program, TensorFlowGraph):
        report.tensors = sum(node.op == "Const" for node in program.nodes.values())
    elif isinstance(program, TorchSource):
        report.tensors = len(program.state)
        report.inputs = [_typed(entry) for entry in program.names.get("inputs", ())]
        report.outputs = [_typed(entry) for entry in program.names.get("outputs", ())]
        report.permutes = program.names.get("permutes")


def _typed(entry: Mapping[str, Any]) -> str:
    """An input or output as the names of PyTorch source describe it."""
    return f"{entry['tensor']} {entry.get('dtype')}{_dims(entry.get('shape'))}"


def _dims(shape: Any) -> str:
    return "[?]" if shape is None else "[" + ", ".join(map(str, shape)) + "]"


def _verified(model: Model, result: Model, source: str) -> Verification:
    from panmodel.verify import compare

    if result.program is None:
        raise UsageError("weights alone cannot be run", where=source, hint="leave out --verify")
    verification = compare(model, result)
    if not verification.same:
        worst = max(verification.outputs, key=lambda output: output.max_absolute)
        message = f"output {worst.name!r} differs by up to {worst.max_absolute:.3g} {worst.detail}".rstrip()
        hint = (
            "nothing was written; `panmodel verify --layers` on an unverified result finds the first layer that differs"
        )
        raise VerificationError(message, where=source, hint=hint)
    return verification
