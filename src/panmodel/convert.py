"""The verbs that write: plan a conversion (`plan`), run it, verify it, and make out the receipt."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from panmodel import formats
from panmodel.edits import Edits, edits, literal, several
from panmodel.errors import LossyError, UnknownNameError, UnsupportedError, UsageError, VerificationError
from panmodel.formats import PathLike, read
from panmodel.io.sink import Sink
from panmodel.io.source import watched
from panmodel.losses import losses, training_fate
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.model.notice import Cast, SlotsUnassigned
from panmodel.model.partitioned import incomplete, lacking, left_out
from panmodel.model.report import Report, Verification
from panmodel.plan import Names, Plan, Request, plan

if TYPE_CHECKING:
    import torch

    from panmodel.model.torch.source import TorchSource

#: Told how many bytes are written, and how many there are.
Progress = Callable[[int, int], None]


def write(
    model: Model, path: PathLike, *, to: str | None = None, shard_size: int | str | None = None, force: bool = False
) -> Report:
    """Write a model as it is, in the format that the target's name tells.

    Args:
        model: What to write; its graph must be in the dialect of the target (`convert` takes care of that).
        path: Target.
        to: Name of the format, where the target's name does not tell.
        shard_size: Bytes of tensors that one file may have, as a number or as "5GB"; for formats that can be split.
        force: Replace what is there.
    """
    target = Path(path)
    record = _target_format(path, to)
    keeps_graph = model.dialect is not None and model.dialect == record.target_dialect
    sharded, name = shard_size is not None, target.name
    lost = losses(model, model, record, keeps_graph=keeps_graph, weights_only=False, sharded=sharded, name=name)
    program = model.program if keeps_graph or record.keeps & Holds.GRAPH else None
    told = replace(model, program=program, notices=[*model.notices, *lost])
    report = _finish(told, record.sink(target, force=force, shard_size=shard_size), record, Plan())
    report.training = training_fate(model, model, told, record)
    return report


def convert(
    source: PathLike,
    target: PathLike,
    *,
    to: str | None = None,
    inputs: Names = None,
    outputs: Names = None,
    verify: bool = False,
    weights_only: bool = False,
    dtype: str | None = None,
    rename: str | Sequence[str] | Mapping[str, str] = (),
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    drop_training: bool = False,
    shard_size: int | str | None = None,
    strict: bool = False,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
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
        dtype: Floating-point type that the weights are rounded to ("float16", "bfloat16", …).
        rename: Rules for new names (see `panmodel.edits`), or old names and their new ones.
        include: Patterns of the names to take; all if empty.
        exclude: Patterns of the names to leave out.
        drop_training: Leave optimizer slots, step, epoch and such out.
        shard_size: Bytes of tensors that one file may have, as a number or as "5GB"; for formats that can be split.
        strict: Refuse to lose anything that is not asked for.
        force: Replace files that are there.
        dry_run: Do everything except writing.
        progress: Told how many bytes are written, and how many there are.

    Returns:
        The receipt.

    Raises:
        UnsupportedOperatorsError: Operators that have no converter, all of them.
        LossyError: With `strict`, something would be lost.
        VerificationError: With `verify`, the results differ; nothing is written.
    """
    began = time.monotonic()
    path = Path(target)
    record = _target_format(target, to)
    if _is_same(Path(source), path):
        raise UsageError("is both source and target", where=str(path))
    changes = edits(include=include, exclude=exclude, rename=rename, dtype=dtype, drop_training=drop_training)
    with watched() as files:
        opened = read(source)
    request = Request(_named(inputs), _named(outputs), _weights_file(path))
    chosen = plan(opened, record, request, weights_only=weights_only)
    sink = record.sink(path, force=force, shard_size=shard_size, progress=_counter(opened, progress))
    sink.spare(files.held)
    if not dry_run:
        sink.require_free()
    model = _edited(opened, changes, record, keeps_graph=chosen.keeps_graph)
    result = _converted(model, chosen, record, sink, weights_only=weights_only)
    if strict:
        _require_lossless(result)
    verification = _verified(model, result, str(source)) if verify else None
    report = _finish(result, sink, record, chosen, origin=model.format, dry_run=dry_run)
    report.training = training_fate(opened, model, result, record)
    report.renamed = changes.names(opened)
    report.verification = verification
    report.seconds = time.monotonic() - began
    return report


def _edited(model: Model, changes: Edits, record: Format, *, keeps_graph: bool) -> Model:
    """What the user wants of a model."""
    if keeps_graph:
        if changes.touch_weights:
            message = "is converted with its graph, in which tensors are neither renamed nor left out nor rounded"
            needs_graph = bool(record.keeps & Holds.GRAPH)
            hint = "do so on the way to a file of weights (.safetensors)" if needs_graph else "add --weights-only"
            raise UsageError(message, where=model.source, hint=hint)
        return changes.apply(model) if changes.drop_training else model
    told = incomplete(model.tensors)
    model = changes.apply(model)
    model.notices = [notice for notice in model.notices if notice not in told]
    return _without_parts(model, record)


def _without_parts(model: Model, record: Format) -> Model:
    """The model without tensors that miss some of their slices, where the target has no place for such."""
    gone = lacking(model.tensors, keeps_parts=record.keeps_parts)
    if not gone:
        return model
    if len(gone) == len(model.tensors):
        (notice,) = left_out(gone, record.name)
        hint = "a TensorFlow checkpoint holds slices, too"
        raise UnsupportedError(f"nothing is left to write: {notice}", where=model.source, hint=hint)
    model = Edits(exclude=tuple(map(literal, gone))).apply(model)
    model.notices += left_out(gone, record.name)
    return model


def _converted(model: Model, chosen: Plan, record: Format, sink: Sink, *, weights_only: bool) -> Model:
    """The model as it is to be written, with a notice of everything that it lacks by then."""
    try:
        result = chosen.run(model)
    except (UnsupportedError, UsageError) as error:
        may_do_without = chosen.keeps_graph and record.keeps & Holds.WEIGHTS and not record.keeps & Holds.GRAPH
        if may_do_without and not isinstance(error, UnknownNameError):  # else it is a name that was misspelt
            error.advise("--weights-only moves the tensors without the graph")
        raise
    how = {"keeps_graph": chosen.keeps_graph, "weights_only": weights_only, "sharded": sink.shard_size is not None}
    result.notices.extend(losses(model, result, record, **how, name=sink.target.name))
    return result


def _require_lossless(result: Model) -> None:
    """Refuse notices of anything but what was asked for, and what the source leaves open."""
    notices = [notice for notice in result.notices if not isinstance(notice, (Cast, SlotsUnassigned))]
    if notices:
        lost = "\n".join(f"  {notice}" for notice in notices)
        raise LossyError(f"something would be lost:\n{lost}", where=result.source, hint="leave out --strict to go on")


def _stored_bytes(model: Model) -> int:
    """Bytes of its tensors, each counted once whatever its names."""
    return sum({id(tensor): tensor.nbytes for tensor in model.tensors.values()}.values())


def _counter(model: Model, progress: Progress | None) -> Callable[[int], None] | None:
    if progress is None:
        return None
    done, total = 0, _stored_bytes(model)

    def count(nbytes: int) -> None:
        nonlocal done
        done += nbytes
        progress(done, max(done, total))

    return count


def to_torch(source: PathLike, *, inputs: Names = None, outputs: Names = None) -> torch.nn.Module:
    """Convert to a PyTorch module in memory: the generated source, executed, with its weights loaded.

    Args:
        source: What `read` opens, with a graph.
        inputs: Tensors that `forward` takes, in this order; found by themselves if left out.
        outputs: Tensors that it returns; likewise.
    """
    from panmodel.runtimes import torch as runtime

    model = read(source)
    result = plan(model, formats.by_name("torch_source"), Request(_named(inputs), _named(outputs))).run(model)
    assert result.program is not None
    return runtime.build(cast("TorchSource", result.program))


def _named(names: Names) -> Sequence[str] | None:
    return several(names) if names is not None else None


def _weights_file(target: Path) -> str:
    """Where the weights of PyTorch source will be: in the target, or beside it if the target is the source itself."""
    return target.name if target.suffix.lower() != ".py" else f"{target.stem}.safetensors"


def _is_same(source: Path, target: Path) -> bool:
    if source.exists() and target.exists():
        return os.path.samefile(source, target)
    return source.absolute() == target.absolute()  # the prefix of several files is none itself


def _target_format(target: PathLike, to: str | None) -> Format:
    if not os.fspath(target):  # which would mean the current folder, and hardly does
        raise UsageError("the path of the target is empty")
    path = Path(target)
    record = formats.by_name(to) if to else formats.for_target(path)
    if record.write is None:
        hint = "`panmodel formats` lists what can be written"
        raise UnsupportedError(f"{record.name} is read, not written", where=str(path), hint=hint)
    return record


# Receipts


def _finish(model: Model, sink: Sink, record: Format, plan: Plan, *, origin: str = "", dry_run: bool = False) -> Report:
    """Write, and make out the receipt."""
    read_as = origin or model.format
    report = Report(model.source, read_as, str(sink.target), record.name, notices=model.notices, dry_run=dry_run)
    report.steps = [step.title for step in plan.steps]
    if not dry_run:
        assert record.write is not None
        with sink:
            sink.expect(_stored_bytes(model))
            record.write(model, sink)
        report.files, report.nbytes = tuple(str(file) for file in sink.files), sink.nbytes
    report.tensors = len(model.tensors)
    if model.program is not None:
        from panmodel.receipts import describe_program

        describe_program(model.program, report)
    report.peak_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return report


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
