"""`panmodel convert`: one model file into another format."""

from __future__ import annotations

from typing import Any

import click

from panmodel.cli._output import PATH, amount, json_option, print_json, print_table, printable
from panmodel.cli._progress import progress_bar
from panmodel.convert import convert
from panmodel.model.report import Report


def names(_: click.Context, __: click.Parameter, value: str | None) -> list[str] | None:
    """A list of tensor names, separated by commas."""
    return [name.strip() for name in value.split(",") if name.strip()] if value is not None else None


_EXAMPLES = """\b
Examples:
  panmodel convert model.ckpt model.onnx
  panmodel convert model.ckpt net.py --verify
  panmodel convert model.pt weights.safetensors --dtype bfloat16 --drop-training
"""


@click.command("convert", short_help="Convert a model file into another format.", epilog=_EXAMPLES)
@click.argument("source", type=PATH)
@click.argument("target", type=PATH)
@click.option(
    "--to", metavar="FORMAT", help="Format of the target, where its name does not tell; see `panmodel formats`."
)
@click.option("--inputs", callback=names, metavar="NAME,…", help="Tensors that become the inputs.")
@click.option("--outputs", callback=names, metavar="NAME,…", help="Tensors that become the outputs.")
@click.option("--verify", is_flag=True, help="Run source and result on the same inputs and compare.")
@click.option("--weights-only", is_flag=True, help="Move the tensors as they are, without any graph.")
@click.option("--dtype", metavar="TYPE", help="Round floating-point weights: float16, bfloat16, float32, …")
@click.option(
    "--rename",
    multiple=True,
    metavar="RULES",
    help="PATTERN=REPLACEMENT, s/REGEX/REPLACEMENT/, or a file of such rules; may be repeated.",
)
@click.option(
    "--include", multiple=True, metavar="PATTERN", help="Take only tensors of such names (*, ?, [ab]); may be repeated."
)
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave tensors of such names out; may be repeated.")
@click.option("--drop-training", is_flag=True, help="Leave optimizer slots, step, epoch and such out.")
@click.option("--shard-size", metavar="SIZE", help="Split the tensors into files of at most 5GB, 500MiB, …")
@click.option("--strict", is_flag=True, help="Refuse to lose anything that is not asked for.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.option("--dry-run", is_flag=True, help="Do everything except writing.")
@json_option
def command(source: str, target: str, *, as_json: bool, **options: Any) -> None:
    """Convert SOURCE into TARGET, whose name tells the format, and print the receipt."""
    with progress_bar("converting") as progress:
        report = convert(source, target, progress=progress, **options)
    if as_json:
        print_json(report.to_json())
    else:
        print_receipt(report)


def print_receipt(report: Report) -> None:
    """Print what was done, for a person."""
    way = " → ".join([report.source_format, *report.steps, report.target_format])
    rows = [
        (
            "converted" if not report.dry_run else "would convert",
            f"{printable(report.source)} → {printable(report.target)}",
        )
    ]
    rows.append(("way", way))
    rows += [("wrote", printable(file)) for file in report.files]
    rows.append(("tensors", f"{report.tensors}" + (f" ({amount(report.nbytes)} written)" if report.files else "")))
    if report.training:
        rows.append(("training state", report.training))
    if report.renamed:
        rows.append(("renamed", f"{len(report.renamed)} tensor" + "s" * (len(report.renamed) != 1)))
    rows += [("input", printable(name)) for name in report.inputs]
    rows += [("output", printable(name)) for name in report.outputs]
    if report.permutes is not None:
        rows.append(("layout permutes", str(report.permutes)))
    rows.append(("time", f"{report.seconds:.2f} s, peak memory {amount(report.peak_memory)}"))
    if report.verification is not None:
        check = report.verification
        off = f"max absolute error {check.max_absolute:.3g}, relative {check.max_relative:.3g}"
        rows.append(("verified", f"{check.second} against {check.first}: {off}"))
    rows += [("notice", printable(notice)) for notice in report.notices]
    print_table(rows, indent="")
