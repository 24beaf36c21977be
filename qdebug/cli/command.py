"""What a command is, and which there are."""

from __future__ import annotations

import argparse
import difflib
import inspect
from importlib import import_module
from typing import Protocol

from qdebug.errors import UsageError

COMMANDS = {
    "compare": "qdebug.cli.compare:CompareCommand",
    "evaluate": "qdebug.cli.evaluate:EvaluateCommand",
    "show": "qdebug.cli.show:ShowCommand",
    "browse": "qdebug.cli.browse:BrowseCommand",
    "report": "qdebug.cli.report:ReportCommand",
    "diff": "qdebug.cli.diff:DiffCommand",
    "tune": "qdebug.cli.tune:TuneCommand",
    "preprocess": "qdebug.cli.preprocess:PreprocessCommand",
    "reading": "qdebug.cli.reading:ReadingCommand",
    "extract": "qdebug.cli.extract:ExtractCommand",
    "quantize": "qdebug.cli.quantize:QuantizeCommand",
    "export": "qdebug.cli.export:ExportCommand",
    "explain": "qdebug.cli.explain:ExplainCommand",
    "env": "qdebug.cli.env:EnvCommand",
    "schema": "qdebug.cli.schema:SchemaCommand",
    "completion": "qdebug.cli.completion:CompletionCommand",
}
"""Class of each command, imported when it is used. The order is that of ``qdebug --help``."""


class Command(Protocol):
    """One command. The class docstring is its help text."""

    @property
    def examples(self) -> tuple[str, ...]:
        """Command lines that open the help; a class attribute will do."""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it.

        Returns:
            The exit code.

        Raises:
            QdebugError: a problem that the user can act on.
        """


def load_command(name: str) -> Command:
    """The command of that name.

    Raises:
        UsageError: there is none; the hint names the nearest.
    """
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean: qdebug {near[0]}" if near else "qdebug --help lists the commands"
        raise UsageError(f"there is no command {name!r}", hint)
    module, _, attribute = COMMANDS[name].partition(":")
    command: Command = getattr(import_module(module), attribute)()
    return command


def help_text(command: Command) -> str:
    """The command's docstring as plain text."""
    return (inspect.getdoc(type(command)) or "").replace("``", "")


def summary(command: Command) -> str:
    """The first line of the docstring, as one phrase."""
    return help_text(command).partition("\n")[0].removesuffix(".")
