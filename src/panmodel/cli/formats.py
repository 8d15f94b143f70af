"""`panmodel formats`: what is read and written, from the registry."""

from __future__ import annotations

import click

from panmodel.cli._output import json_option, print_json, print_table
from panmodel.formats import registry
from panmodel.model.format import Format, Holds


@click.command("formats")
@click.option("--markdown", is_flag=True, help="As a table for a README.")
@json_option
def command(*, markdown: bool, as_json: bool) -> None:
    """List the formats that are read and written."""
    records = registry().values()
    if as_json:
        print_json([_plain(record) for record in records])
    elif markdown:
        click.echo(table())
    else:
        print_table([HEAD, *map(_row, records)], indent="")


HEAD = ("format", "files", "read", "write", "holds", "what it is")


def table() -> str:
    """The format matrix in Markdown, as the README shows it."""
    rows = [HEAD, ("---",) * len(HEAD), *(_row(record) for record in registry().values())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(record: Format) -> tuple[str, ...]:
    files, holds = " ".join(record.extensions), ", ".join(_holds(record))
    return (record.name, files, "yes" if record.read else "", "yes" if record.write else "", holds, record.summary)


def _plain(record: Format) -> dict[str, object]:
    return {
        "name": record.name,
        "summary": record.summary,
        "extensions": list(record.extensions),
        "spec": record.spec,
        "read": record.read is not None,
        "write": record.write is not None,
        "holds": _holds(record),
    }


def _holds(record: Format) -> list[str]:
    return [str(part.name).lower() for part in Holds if part & record.holds]
