"""Ctrl-C in the first milliseconds of the command, while the modules load that hear it later.

The command imports this before anything else. Until ``main`` takes over, nothing has begun, so
there is nothing to tidy up.
"""

import _signal  # type: ignore[import-not-found]  # signal itself loads other modules first
import os


def end(_number: int, _frame: object) -> None:
    """Say that the command was interrupted, and end."""
    os.write(2, b"qdebug: interrupted\n")
    os._exit(130)


def hear() -> None:
    """Let Ctrl-C end the process, where Python would show a traceback."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, end)


hear()
