"""``python -m qdebug``, and the ``qdebug`` command.

Ctrl-C says one line also while the first modules are loaded and while Python shuts down.
"""

from __future__ import annotations

import signal
import sys
import warnings


def main() -> int:
    """Run the command of ``sys.argv``; returns its exit code."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # what libraries say to programmers
    try:
        from qdebug.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("qdebug: interrupted\n")
        return 130
    try:
        return run()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to interrupt


if __name__ == "__main__":
    sys.exit(main())
