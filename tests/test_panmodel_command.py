"""The command from its first moment: what happens before the package can hear of it."""

import subprocess
import sys

import pytest

INTERRUPTED_AT = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
signal.signal(signal.SIGINT, signal.{handler})
sys.argv = ["panmodel", *{arguments!r}]
import panmodel_command
panmodel_command.main()
"""


def started(module, handler, *arguments):
    code = INTERRUPTED_AT.format(module=module, handler=handler, arguments=arguments or ("--version",))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize("module", ["panmodel", "panmodel.dtypes", "click", "panmodel.cli"])
def test_who_interrupts_the_imports_sees_no_traceback(module):
    done = started(module, "default_int_handler")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_who_ignores_interruptions_goes_on():
    done = started("panmodel.dtypes", "SIG_IGN")
    assert done.returncode == 0 and "panmodel" in done.stdout


def test_later_ones_are_for_the_command_line():
    done = started("panmodel.cli.inspect", "default_int_handler", "inspect", "none.ckpt")
    assert done.returncode == 130 and "interrupted" in done.stderr and "Traceback" not in done.stderr
