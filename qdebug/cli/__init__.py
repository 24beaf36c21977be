"""The ``qdebug`` command line.

One file and one class per command. To add one:

1. write ``qdebug/cli/NAME.py`` with a class ``NameCommand`` that follows ``command.Command``: its
   docstring is the help (first line: one sentence), ``examples`` open ``--help``,
   ``prepare_parser`` adds arguments and ``run`` returns an exit code;
2. add one line to ``command.COMMANDS``.

``-q/--quiet``, ``-v/--verbose``, ``--debug`` and ``--color`` are there for every command as
``args.quiet``, ``args.verbose``, ``args.debug`` and ``args.color``; ``--max-unpacked`` holds for
whatever it reads. Import what is heavy (numpy, onnx, rich, ...) inside ``run``: ``qdebug --help``
has a budget. Text for stdout goes through ``terminal.Terminal``; problems are raised as
``QdebugError``, never printed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from qdebug._version import __version__
from qdebug.bounds import MAX_UNPACKED, unpacking
from qdebug.cli import diagnostics, terminal
from qdebug.cli.command import load_command
from qdebug.cli.parser import command_parser, main_help
from qdebug.errors import ExitCode, UsageError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; ``sys.argv`` by default.

    Returns:
        An ``ExitCode``. Problems are told on stderr, never raised.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    return diagnostics.guard(lambda: _dispatch(arguments), debug="--debug" in arguments)


def _dispatch(arguments: list[str]) -> int:
    if not arguments:
        terminal.write(main_help())
        return ExitCode.NO_VERDICT
    name, *rest = arguments
    if name in ("-h", "--help", "help"):
        terminal.write(main_help() if not rest else command_parser(rest[0]).format_help())
        return ExitCode.PASS
    if name == "--version":
        terminal.write(f"qdebug {__version__}\n")
        return ExitCode.PASS
    if name.startswith("-"):
        raise UsageError(f"expected a command before {name}", "qdebug --help lists the commands")
    args = command_parser(name).parse(rest)
    with unpacking(args.max_unpacked or MAX_UNPACKED):
        return load_command(name).run(args)
