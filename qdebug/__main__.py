"""``python -m qdebug``, and the ``qdebug`` command.

Ctrl-C and SIGTERM say one line also while the first modules are loaded; what hears them is first.
"""

import os
import sys

from qdebug import beginning, interrupts

TYPE_CHECKING = False  # that of typing, which takes a while to load
if TYPE_CHECKING:
    from qdebug.errors import QdebugError


def main() -> int:
    """Run the command of ``sys.argv``; returns its exit code."""
    import signal

    ours = (signal.SIG_DFL, signal.default_int_handler, beginning.end)
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) in ours:
            interrupts.hear(number)
    # Threads of NumPy's OpenBLAS look for work for a tenth of a second when they are made and after
    # each product, before they sleep: here processors have better work.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    try:
        return _isolated()
    except BaseException as error:  # an interrupt comes out of a class in the making as another
        if not isinstance(error, KeyboardInterrupt) and not interrupts.arrived():
            raise
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


def _told(error: "QdebugError") -> int:
    from qdebug.cli import diagnostics

    def fail() -> int:
        raise error

    return diagnostics.guard(fail, debug=False)


if __name__ == "__main__":
    sys.exit(main())
