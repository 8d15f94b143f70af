"""The command `panmodel` from its first moment: who interrupts it while Python still imports is not shown how.

This stands beside the package, which imports all of itself before a line within it could be prepared for that.
"""

import os
import signal
import sys

_INTERRUPTED = 130


def main() -> None:
    """Load the command line and run it."""
    try:
        hears = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # and does not ignore it
        if hears:
            # no exception: imports pass it on as errors of their own
            signal.signal(signal.SIGINT, lambda *_: os._exit(_INTERRUPTED))
        from panmodel import cli

        if hears:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    except KeyboardInterrupt:  # before or after these
        sys.exit(_INTERRUPTED)
    cli.main()
