"""Printing the console summary of a run, for the commands that end in one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qdebug.cli import terminal
from qdebug.quantities import format_size

if TYPE_CHECKING:
    from qdebug.reporters.console import Look
    from qdebug.run.model import Run


def look() -> Look:
    """The page that stdout offers."""
    from qdebug.reporters.console import Look

    return Look(width=terminal.columns(), ascii_only=not terminal.speaks_unicode())


def show(
    run: Run,
    args: argparse.Namespace,
    *,
    written: Sequence[Path] = (),
    next_commands: Sequence[str] = (),
) -> None:
    """Print the summary.

    Args:
        run: the run.
        args: of the command; its quiet, verbose and color count.
        written: files and folders just made.
        next_commands: what to type next.
    """
    from qdebug.reporters.console import Options, render

    options = Options(
        quiet=args.quiet,
        verbose=args.verbose,
        written=[f"{path.as_posix()}  ({format_size(_bytes_of(path))})" for path in written],
        next_commands=next_commands,
    )
    terminal.write_styled(render(run, look(), options), args.color)


def _bytes_of(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())
