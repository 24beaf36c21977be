"""Stdout: what it can show, and writing to it.

Text goes out in one piece. A reader that leaves early (``qdebug show RUN | head``) is no error:
it has what it wanted, and the exit code still tells the verdict.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Color = Literal["auto", "always", "never"]

NARROWEST, WIDEST, PIPED = 40, 120, 100
"""Columns: the least and the most that are used, and how many where there is no terminal."""

_GLYPHS = "✗│▁█·…─±↔"


def wants_color(color: Color) -> bool:
    """Whether stdout gets escape codes."""
    if color != "auto":
        return color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return is_terminal() and os.environ.get("TERM") != "dumb"


def is_terminal() -> bool:
    """Whether a person reads stdout."""
    return sys.stdout is not None and sys.stdout.isatty()


def speaks_unicode() -> bool:
    """Whether stdout can show the marks and blocks of the summary."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        _GLYPHS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def columns() -> int:
    """Columns to fill: ``COLUMNS``, else the terminal's, else a fixed number."""
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given) > 0:
        wanted = int(given)
    else:
        wanted = shutil.get_terminal_size().columns if is_terminal() else PIPED
    return max(NARROWEST, min(wanted, WIDEST))


def write(text: str) -> None:
    """Write plain text to stdout and flush."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        abandon()
    except OSError as error:
        abandon()
        error.filename = "stdout"
        raise


def write_styled(text: Text, color: Color) -> None:
    """Write rich text to stdout, with colours where they are wanted."""
    buffer = io.StringIO()
    _console(buffer, WIDEST, wants_color(color)).print(text, soft_wrap=True, end="")
    write(buffer.getvalue())


def write_markdown(text: str) -> None:
    """Write Markdown to stdout, laid out and in colour."""
    from rich.markdown import Markdown

    buffer = io.StringIO()
    _console(buffer, columns(), styled=True).print(Markdown(text, hyperlinks=False))
    write(buffer.getvalue())


def _console(file: io.StringIO, width: int, styled: bool) -> Console:
    from rich.console import Console

    return Console(
        file=file,
        width=width,
        force_terminal=styled,
        color_system="standard" if styled else None,
        no_color=False if styled else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )


def abandon() -> None:
    """Let everything still buffered for stdout go nowhere, also at the interpreter's exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
