"""Everything that is written to stderr as text, and the exit code that goes with it.

Streams are looked up when they are used. Stdout is flushed before stderr is written, so that the
two do not interleave. A run without problems is silent here, apart from progress.
"""

from __future__ import annotations

import contextlib
import io
import sys
import traceback
from collections.abc import Callable, Iterator

from qdebug import interrupts
from qdebug.cli import terminal
from qdebug.errors import ExitCode, QdebugError
from qdebug.vocabulary.names import visible

_LONGEST = 1000
"""Characters of a message; a name of a hundred thousand is no help."""


def guard(work: Callable[[], int], *, debug: bool) -> int:
    """Do the work of the command and turn every exception into a message and an exit code.

    Args:
        work: returns the exit code when nothing goes wrong.
        debug: show the traceback too.
    """
    _make_streams_lenient()
    with interrupts.caught():
        return int(_guarded(work, debug))


def _guarded(work: Callable[[], int], debug: bool) -> int:
    try:
        with _log_on_stderr() if debug else contextlib.nullcontext():
            code = work()
        terminal.write("")
    except SystemExit as done:  # argparse's --help
        return done.code if isinstance(done.code, int) else ExitCode.PASS
    except KeyboardInterrupt as stop:
        tell(f"interrupted{': ' if str(stop) else ''}{stop}")
        code = ExitCode.INTERRUPTED
    except Exception as error:
        if debug:
            _show_traceback(error)
        if interrupts.arrived():  # while a module was loaded: its import failed
            tell("interrupted")
            return ExitCode.INTERRUPTED
        _tell_error(*_explain(error))
        code = _exit_code(error)
    return code


def tell(message: str) -> None:
    """One line on stderr: ``qdebug: MESSAGE``."""
    _write(f"qdebug: {visible(message)}\n")


def _tell_error(message: str, hint: str | None) -> None:
    tell(f"error: {shortened(message)}")
    if hint:
        _write(f"hint: {visible(shortened(hint))}\n")


def shortened(text: str) -> str:
    """The text with its middle left out where it is longer than a person reads."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]} [...] {text[-half:]}"


def _explain(error: Exception) -> tuple[str, str | None]:
    """Message and hint for the user."""
    if isinstance(error, QdebugError):
        return error.message.removesuffix("."), error.hint  # libraries end theirs with one
    if isinstance(error, MemoryError):
        return "the machine has too little memory for this", "try a smaller --max-memory or --limit"
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}", "check the path, its rights and the room on the disk"
    kind = type(error).__name__
    return f"internal error ({kind}: {error})", "run again with --debug and report the traceback"


def _exit_code(error: Exception) -> int:
    return error.exit_code if isinstance(error, QdebugError) else ExitCode.NO_VERDICT


def _show_traceback(error: Exception) -> None:
    _write("".join(traceback.format_exception(error)))


def _write(text: str) -> None:
    with contextlib.suppress(OSError):
        terminal.write("")
    with contextlib.suppress(OSError, ValueError, AttributeError):  # nobody left to tell
        sys.stderr.write(text)
        sys.stderr.flush()


@contextlib.contextmanager
def _log_on_stderr() -> Iterator[None]:
    """Show what the package logs, for instance the traceback of a check that crashed."""
    import logging

    logger, handler = logging.getLogger("qdebug"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def _make_streams_lenient() -> None:
    """A character that the terminal's encoding lacks is escaped, never a crash."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
