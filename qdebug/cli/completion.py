"""``qdebug completion``."""

from __future__ import annotations

import argparse

from qdebug.cli import terminal
from qdebug.errors import ExitCode


class CompletionCommand:
    """Print the script that lets a shell complete commands, options and file names.

    Where it belongs: bash: ~/.local/share/bash-completion/completions/qdebug;
    zsh: _qdebug in a folder of fpath; fish: ~/.config/fish/completions/qdebug.fish.
    """

    examples = (
        "qdebug completion bash > ~/.local/share/bash-completion/completions/qdebug",
        "qdebug completion zsh > ~/.zfunc/_qdebug",
        "qdebug completion fish > ~/.config/fish/completions/qdebug.fish",
    )

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")

    def run(self, args: argparse.Namespace) -> int:
        """Print it."""
        import shtab

        script = shtab.complete(_whole_parser(), shell=args.shell)
        terminal.write(script.rstrip("\n") + "\n")
        return ExitCode.PASS


def _whole_parser() -> argparse.ArgumentParser:
    """One parser with every command: each by itself is made by ``command_parser`` when it runs."""
    from qdebug.cli.command import COMMANDS, load_command, summary
    from qdebug.cli.parser import command_parser

    root = argparse.ArgumentParser(prog="qdebug")
    root.add_argument("--version", action="store_true", help="print the version")

    def make(**given: str) -> argparse.ArgumentParser:
        return command_parser(given["prog"].rpartition(" ")[2])

    # argparse calls it as it would the class that the type asks for.
    made = root.add_subparsers(parser_class=make, metavar="COMMAND")  # type: ignore[call-overload]
    for name in COMMANDS:
        _complete_files(made.add_parser(name, help=summary(load_command(name))))
    return root


def _complete_files(parser: argparse.ArgumentParser) -> None:
    """Whatever takes a value and has no choices completes file names."""
    import shtab

    for action in parser._actions:
        if action.nargs != 0 and action.choices is None:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
