"""`panmodel scan`: whether files could execute something or reach outside when they are loaded."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import click

from panmodel.cli._output import PATH, json_option, print_json, printable
from panmodel.cli._progress import progress_bar
from panmodel.errors import UsageError
from panmodel.model.finding import Finding, Scan, ScannedFile, Verdict
from panmodel.scan import scan

_SAYS = {
    Verdict.CLEAN: "clean",
    Verdict.DANGEROUS: "DANGEROUS: do not load these files with the framework they are made for",
    Verdict.UNDECIDED: "could not decide: see what is said of each file",
}


@click.command("scan", short_help="Say whether loading files could execute something.")
@click.argument("paths", type=PATH, nargs=-1, required=True, metavar="PATH…")
@click.option("--sarif", is_flag=True, help="Answer in SARIF 2.1.0 on stdout.")
@click.option("--quiet", is_flag=True, help="Leave out files that are clean.")
@json_option
def command(paths: tuple[str, ...], *, sarif: bool, quiet: bool, as_json: bool) -> int:
    """Say whether loading PATH… (files or folders) could execute something or reach outside.

    Nothing is loaded. Exit code: 0 clean, 1 dangerous, 2 could not decide; the worst file decides.
    """
    if sarif and as_json:
        raise UsageError("--json and --sarif are two forms of the answer: give one")
    with progress_bar("scanning") as progress:
        found = scan(*paths, progress=progress)
    if sarif:
        print_json(found.to_sarif())
    elif as_json:
        print_json(found.to_json())
    else:
        _print(found, quiet=quiet)
    return found.exit_code


def _print(found: Scan, *, quiet: bool) -> None:
    for file in found.files:
        if not quiet or file.findings:
            _print_file(file)
    counts = [sum(file.verdict is verdict for file in found.files) for verdict in Verdict]
    click.echo(f"{len(found.files)} file(s): {counts[0]} clean, {counts[1]} dangerous, {counts[2]} undecided")
    click.echo(_SAYS[found.verdict] if found.files else "could not decide: there is no file to scan")


def _print_file(file: ScannedFile) -> None:
    kinds = ", ".join(dict.fromkeys(file.kinds)) or "unknown"
    click.echo(f"{printable(file.path)}: {file.verdict.value} ({printable(kinds)})")
    for rule, group in groupby(sorted(file.findings, key=_order), key=lambda finding: finding.rule):
        click.echo(f"  {rule.level.value} {rule.id}: {rule.summary}")
        _print_findings(group)
        click.echo(f"    what to do: {rule.help}")


def _order(finding: Finding) -> tuple[int, str]:
    return (["dangerous", "undecided", "note"].index(finding.level.value), finding.rule.id)


def _print_findings(findings: Iterable[Finding]) -> None:
    for finding in findings:
        where = f" ({printable(finding.member)})" if finding.member else ""
        at = f" at byte {finding.offset}" if finding.offset is not None else ""
        click.echo(f"    - {printable(finding.message)}{where}{at}")
