"""``python -m qdebug``, and the ``qdebug`` command.

Ctrl-C and SIGTERM say one line also while the first modules are loaded; what hears them is first.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from qdebug import interrupts

if TYPE_CHECKING:
    from qdebug.errors import QdebugError


def main() -> int:
    """Run the command of ``sys.argv``; returns its exit code."""
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        interrupts.hear(signal.SIGTERM)
    try:
        return _isolated()
    except KeyboardInterrupt:
        sys.stderr.write("qdebug: interrupted\n")
        return 130
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # nothing is left to interrupt


def _isolated() -> int:
    from qdebug import isolation
    from qdebug.errors import QdebugError

    try:
        return isolation.run(_run, sys.argv[1:])
    except QdebugError as error:  # its child did not live to tell
        return _told(error)


def _run() -> int:
    import warnings

    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # what libraries say to programmers
    from qdebug.cli import main as run

    return run()


def _told(error: QdebugError) -> int:
    from qdebug.cli import diagnostics

    def fail() -> int:
        raise error

    return diagnostics.guard(fail, debug=False)


if __name__ == "__main__":
    sys.exit(main())
