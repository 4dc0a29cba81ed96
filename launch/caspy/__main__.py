"""``caspy``, or ``python -m caspy``."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import NoReturn

from caspy.cli import main


def program() -> NoReturn:
    """Run the command line of this process, and end it.

    Without the end that Python would make: taking apart what was imported costs a sixth of a short
    command, and a Ctrl-C meanwhile would be its exit code, though all it was to do is done.
    """
    code = main()
    atexit._run_exitfuncs()  # noqa: SLF001 - of processors, which are made in this process, too
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads on
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    program()
