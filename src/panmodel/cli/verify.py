"""`panmodel verify`: run two models on the same inputs and compare."""

from __future__ import annotations

import click

from panmodel.cli._output import PATH, json_option, print_json, print_table, printable
from panmodel.errors import UsageError
from panmodel.model.report import Difference, Verification
from panmodel.verify import ATOL, RTOL, verify
from panmodel.verify.inputs import load, load_one


@click.command("verify", short_help="Run two models and compare their outputs.")
@click.argument("first", type=PATH, metavar="A")
@click.argument("second", type=PATH, metavar="B")
@click.option("--input", "given", multiple=True, metavar="NAME=FILE.npy", help="Array for one input; may be repeated.")
@click.option("--inputs", "file", type=PATH, metavar="FILE.npz", help="Arrays for the inputs, by name.")
@click.option("--seed", default=0, show_default=True, help="Seed of the random inputs, where none are given.")
@click.option("--rtol", default=RTOL, show_default=True, help="Relative tolerance.")
@click.option("--atol", default=ATOL, show_default=True, help="Absolute tolerance.")
@click.option("--layers", is_flag=True, help="Find the first intermediate tensor that differs.")
@json_option
def command(
    first: str,
    second: str,
    given: tuple[str, ...],
    file: str | None,
    seed: int,
    rtol: float,
    atol: float,
    *,
    layers: bool,
    as_json: bool,
) -> int:
    """Run A and B on the same inputs and compare their outputs; exit 1 if they differ.

    Either may be an .npz file with recorded answers. An output that only one of them has is a difference, but where a
    TensorFlow graph is cut to match the other side, and where answers were recorded of some outputs: then it is told.
    """
    arrays = dict(load(file)) if file else {}
    for pair in given:
        name, equals, path = pair.partition("=")
        if not equals:
            raise UsageError(f"--input takes NAME=FILE.npy, not {pair!r}")
        arrays[name] = load_one(path)
    found = verify(first, second, inputs=arrays or None, seed=seed, rtol=rtol, atol=atol, layers=layers)
    if as_json:
        print_json(found.to_json())
    else:
        _print(found, layers=layers)
    return 0 if found.same else 1


def _print(found: Verification, *, layers: bool) -> None:
    print_table([("A", found.first), ("B", found.second), ("on", printable(found.inputs))], indent="")
    click.echo(f"outputs (rtol {found.rtol:g}, atol {found.atol:g})")
    print_table([_row(output) for output in found.outputs])
    told = {output.name for output in found.outputs}
    alone = [*((name, "A") for name in found.only_first), *((name, "B") for name in found.only_second)]
    print_table([(printable(name), f"not compared: only in {side}") for name, side in alone if name not in told])
    if layers:
        first = found.first_difference
        said = "none differs" if first is None else f"the first that differs: {'  '.join(_row(first))}"
        click.echo(f"{found.layers} intermediate tensors compared; {said}")


def _row(found: Difference) -> tuple[str, ...]:
    verdict = "same" if found.within else "DIFFERS"
    off = f"max absolute {found.max_absolute:.3g}", f"relative {found.max_relative:.3g}"
    return (printable(found.name), str(list(found.shape)), *off, verdict, found.detail)
