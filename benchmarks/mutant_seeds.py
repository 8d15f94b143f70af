"""The right files that mutants are made of: small ones of every format that is read, by every writer there is.

    python benchmarks/mutant_seeds.py FOLDER

Makes FOLDER/format/seed/…, and beside each seed `format/seed.json`: which file or folder of it is to be opened
("target"), which of its files are wholly under checksums ("checked"), and where payload lies that is no plain extent
("payload": tensor → file, offset, bytes). The writers are this project's own, the frameworks that are installed, and
what the tests put together by hand; committed files stand for the frameworks that are seldom installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from seeds import arrays, of_keras, of_tensorflow, of_torch  # noqa: E402
from seeds.seed import Seed  # noqa: E402

from panmodel.formats import registry  # noqa: E402


def main() -> None:
    """Make the seeds of each format by the function of its name."""
    folder = Path(sys.argv[1])
    for name, record in registry().items():
        if record.read is None:
            continue
        make = next(
            (vars(room)[name] for room in (arrays, of_tensorflow, of_keras, of_torch) if name in vars(room)), None
        )
        if make is not None:
            make(lambda seed, place=folder / name: Seed(place / seed))
        if not list((folder / name).glob("*.json")):
            print(f"no seeds for {name}: add them to benchmarks/seeds", file=sys.stderr)


if __name__ == "__main__":
    main()
