"""What the subcommands take and how they answer: paths; JSON for programs, aligned text for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

#: A path, of which the verb says what is wrong with it: only that tells one bad path of several from the others.
PATH = click.Path(readable=False)
#: `--json`, the same on every subcommand.
json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON on stdout.")


def print_json(plain: Any) -> None:
    """Print plain values as JSON; what JSON lacks (infinities, types of numpy) becomes text."""
    click.echo(json.dumps(_finite(plain), indent=1, default=str))  # ASCII alone: names may hold anything


def _finite(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {str(key): _finite(value) for key, value in plain.items()}
    if isinstance(plain, (list, tuple)):
        return [_finite(value) for value in plain]
    return str(plain) if isinstance(plain, float) and (plain != plain or abs(plain) == float("inf")) else plain


#: Columns are aligned up to so many characters; what is longer juts out of its row alone.
_WIDEST = 100


def print_table(rows: Sequence[Sequence[str]], *, indent: str = "  ") -> None:
    """Print rows with aligned columns; columns of numbers align right."""
    if not rows:
        return
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [min(max(len(row[column]) for row in rows), _WIDEST) for column in range(len(rows[0]))]
    right = [all(_is_number(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(row, widths, right, strict=True)
        ]
        click.echo((indent + "  ".join(cells)).rstrip())


def _is_number(cell: str) -> bool:
    return bool(cell) and cell.replace(",", "").replace(".", "").isdigit()


def amount(nbytes: int) -> str:
    """Bytes for people: decimal units, as disks are sold."""
    size = float(nbytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def printable(text: object) -> str:
    """Text from a file as it may go to a terminal: control characters are shown, not sent."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text))
