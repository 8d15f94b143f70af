"""`panmodel convert`: one model file into another format."""

from __future__ import annotations

import click

from panmodel.cli._output import amount, json_option, print_json, print_table, printable
from panmodel.convert import convert
from panmodel.model.report import Report


def names(_: click.Context, __: click.Parameter, value: str | None) -> list[str] | None:
    """A list of tensor names, separated by commas."""
    return [name.strip() for name in value.split(",") if name.strip()] if value is not None else None


@click.command("convert")
@click.argument("source", type=click.Path())
@click.argument("target", type=click.Path())
@click.option("--to", metavar="FORMAT", help="Format of the target, where its name does not tell.")
@click.option("--inputs", callback=names, metavar="NAME,…", help="Tensors that become the inputs.")
@click.option("--outputs", callback=names, metavar="NAME,…", help="Tensors that become the outputs.")
@click.option("--verify", is_flag=True, help="Run source and result on the same inputs and compare.")
@click.option("--weights-only", is_flag=True, help="Move the tensors as they are, without any graph.")
@click.option("--strict", is_flag=True, help="Refuse to lose anything.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.option("--dry-run", is_flag=True, help="Do everything except writing.")
@json_option
def command(
    source: str,
    target: str,
    to: str | None,
    inputs: list[str] | None,
    outputs: list[str] | None,
    *,
    verify: bool,
    weights_only: bool,
    strict: bool,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Convert SOURCE into TARGET, whose name tells the format, and print the receipt."""
    report = convert(
        source,
        target,
        to=to,
        inputs=inputs,
        outputs=outputs,
        verify=verify,
        weights_only=weights_only,
        strict=strict,
        force=force,
        dry_run=dry_run,
    )
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
    rows.append(("tensors", f"{report.tensors} ({amount(report.nbytes)} written)"))
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
