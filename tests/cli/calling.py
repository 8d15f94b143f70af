"""Calls the command line as a user does, in this process."""

from pathlib import Path

from panmodel.cli import run

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
CHECKPOINT = str(DIGITS / "model.ckpt")
RECORDED = str(DIGITS / "recorded.npz")


def call(capsys, *arguments):
    """Exit code, stdout and stderr."""
    code = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err
