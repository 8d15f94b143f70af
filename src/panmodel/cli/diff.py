"""`panmodel diff`: two models tensor by tensor."""

from __future__ import annotations

from collections.abc import Sequence

import click

from panmodel.cli._output import PATH, json_option, print_json, print_table, printable
from panmodel.cli._progress import progress_bar
from panmodel.diff import diff
from panmodel.model.comparison import Change, Comparison

_SHOWN = 50


@click.command("diff", short_help="Compare the tensors of two models.")
@click.argument("first", type=PATH, metavar="A")
@click.argument("second", type=PATH, metavar="B")
@click.option("--rtol", default=0.0, show_default=True, help="Relative tolerance.")
@click.option("--atol", default=0.0, show_default=True, help="Absolute tolerance.")
@click.option(
    "--include", multiple=True, metavar="PATTERN", help="Compare only tensors of such names; may be repeated."
)
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave out tensors of such names; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="List every tensor, equal ones too.")
@json_option
def command(
    first: str,
    second: str,
    rtol: float,
    atol: float,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    *,
    everything: bool,
    as_json: bool,
) -> int:
    """Compare the tensors of A and B, of whatever formats; exit 1 if they differ.

    Without tolerances they must be the same bit for bit.
    """
    with progress_bar("comparing") as progress:
        found = diff(first, second, rtol=rtol, atol=atol, include=include, exclude=exclude, progress=progress)
    if as_json:
        print_json(found.to_json())
    else:
        _print(found, None if everything else _SHOWN)
    return 0 if found.same else 1


def _print(found: Comparison, limit: int | None) -> None:
    print_table([("A", printable(found.first)), ("B", printable(found.second))], indent="")
    outside = [change for change in found.changed if not change.within]
    within = [change for change in found.changed if change.within]
    sections: list[tuple[str, list[tuple[str, ...]]]] = [
        ("changed", [_changed(change) for change in outside]),
        ("changed within the tolerances", [_changed(change) for change in within]),
        ("renamed", [(r.before, f"→ {r.after}", str(r.form), "ambiguous" * r.ambiguous) for r in found.renamed]),
        ("only in A", [(name, str(form)) for name, form in found.removed.items()]),
        ("only in B", [(name, str(form)) for name, form in found.added.items()]),
        ("not compared: their elements cannot be read, or are not all there", [(name,) for name in found.uncompared]),
        ("training state", [(key, _said(a), f"→ {_said(b)}") for key, (a, b) in found.training.items()]),
    ]
    for title, rows in sections:
        _print_section(title, rows, limit)
    if limit is None:
        _print_section("equal", [(name,) for name in found.equal], None)
    else:
        click.echo(f"equal ({len(found.equal)})")
    click.echo("same" if found.same else "DIFFERENT")


def _print_section(title: str, rows: Sequence[tuple[str, ...]], limit: int | None) -> None:
    if not rows:
        return
    click.echo(f"{title} ({len(rows)})")
    shown = rows[:limit]
    print_table(shown)
    if len(shown) < len(rows):
        click.echo(f"  … and {len(rows) - len(shown)} more (--all lists all)")


def _changed(change: Change) -> tuple[str, ...]:
    before, after = str(change.before), str(change.after)
    what = before if before == after else f"{before} → {after}"
    if change.differing is None:
        return (change.name, what, "", "", "", "")
    if change.bitwise_only:
        return (change.name, what, f"{change.bitwise:,} in bits alone", "", "", "")
    count = f"{change.differing:,} differ" + (f", {change.nans:,} NaN in one" if change.nans else "")
    return (
        change.name,
        what,
        count,
        "" if change.max_absolute is None else f"max |Δ| {change.max_absolute:.3g}",
        "" if change.max_relative is None else f"relative {change.max_relative:.3g}",
        "" if change.cosine is None else f"cosine {change.cosine:.6f}",
    )


def _said(value: object) -> str:
    return "not said" if value is None else str(value)
