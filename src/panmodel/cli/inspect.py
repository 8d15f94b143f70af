"""`panmodel inspect`: what a model file is."""

from __future__ import annotations

from typing import Any

import click

from panmodel.cli._output import PATH, amount, json_option, print_json, print_table, printable
from panmodel.inspection import Inspection, inspect

_SHOWN = 20


@click.command("inspect", short_help="Say what a model file is.")
@click.argument("path", type=PATH)
@click.option("--tensors", "all_tensors", is_flag=True, help="List every tensor.")
@click.option("--graph", is_flag=True, help="List every node of the graph.")
@json_option
def command(path: str, *, all_tensors: bool, graph: bool, as_json: bool) -> None:
    """Say what PATH is: format, framework, tensors, graph, signatures, training state."""
    found = inspect(path)
    if as_json:
        plain = found.to_json()
        if not graph:
            del plain["nodes"]
        print_json(plain)
        return
    _print_head(found)
    _print_graph(found)
    if graph:
        click.echo("nodes")
        print_table([(op, printable(name), printable(", ".join(operands))) for op, name, operands in found.nodes])
    _print_tensors(found, None if all_tensors else _SHOWN)
    for notice in found.notices:
        click.echo(f"notice: {printable(notice)}")


def _print_head(found: Inspection) -> None:
    rows = [("path", printable(found.path)), ("format", found.format)]
    rows += [
        (key.replace("_", " "), _brief(value))
        for key, value in found.metadata.items()
        if value not in (None, "", [], {})
    ]
    if found.training:
        rows.append(("training", _training(found.training)))
    print_table(rows, indent="")
    if found.strings:
        click.echo("metadata")
        print_table([(printable(key), _brief(text)) for key, text in found.strings.items()])


def _training(training: Any) -> str:
    parts = [f"{key} {training[key]}" for key in ("step", "epoch", "loss") if training[key] is not None]
    if training["optimizer"]:
        parts.append(training["optimizer"])
    parts += [f"{key}={value}" for key, value in training["hyperparameters"].items()]
    parts += [f"{count} slots {slot!r}" for slot, count in training["slots"].items()]
    return printable(", ".join(parts))


def _brief(value: object) -> str:
    parts = [f"{key} {item}" for key, item in value.items()] if isinstance(value, dict) else value
    text = printable(", ".join(map(str, parts)) if isinstance(parts, (list, tuple)) else parts)
    return text if len(text) <= 100 else text[:97] + "…"


def _print_graph(found: Inspection) -> None:
    for title, names in (("inputs", found.inputs), ("outputs", found.outputs)):
        if names:
            click.echo(f"{title}")
            print_table([(printable(name),) for name in names])
    for name, signature in found.signatures.items():
        click.echo(f"signature {printable(name)}")
        rows = [
            (which[:-1], printable(key), printable(value))
            for which in signature
            for key, value in signature[which].items()
        ]
        print_table(rows)
    if found.operators:
        total = sum(found.operators.values())
        listed = ", ".join(f"{printable(op)} × {count}" for op, count in found.operators.items())
        click.echo(f"operators ({total})\n  {listed}")


def _print_tensors(found: Inspection, limit: int | None) -> None:
    click.echo(f"tensors ({len(found.tensors)}, {found.parameters:,} parameters, {amount(found.nbytes)})")
    shown = found.tensors if limit is None else [tensor for tensor in found.tensors if not tensor.slot][:limit]
    print_table([(printable(t.name), t.dtype, str(list(t.shape)), amount(t.nbytes)) for t in shown])
    if len(found.tensors) > len(shown):
        slots = sum(tensor.slot for tensor in found.tensors)
        said = f", {slots} of them optimizer slots" if slots else ""
        click.echo(f"  … and {len(found.tensors) - len(shown)} more{said} (--tensors lists all)")
