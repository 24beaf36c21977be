"""Argument parsing: examples first in every help, and the nearest name for a mistyped option."""

from __future__ import annotations

import argparse
import difflib
import os
import shutil
from collections.abc import Sequence
from typing import Any, NoReturn

from qdebug.cli.arguments import reader
from qdebug.cli.command import COMMANDS, help_text, load_command, summary
from qdebug.errors import UsageError
from qdebug.options import values

_WIDEST_HELP = 100

_MAIN_EXAMPLES = (
    "qdebug compare float.onnx int8.onnx photo.jpg",
    'qdebug compare float.onnx int8.onnx shots/ -p "letterbox 640 pad 114 | rgb | /255 | nchw"',
    "qdebug show int8.qdrun",
)

_EXIT_CODES = """\
exit codes:
  0    pass, or only warnings
  1    a check or a limit failed (--fail-on changes that)
  2    no verdict: bad usage, unreadable input, nothing to compare, internal error
  130  interrupted"""


class Parser(argparse.ArgumentParser):
    """A parser whose problems are ``UsageError`` and whose help opens with examples."""

    def __init__(self, *, examples: Sequence[str], **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_formatter, **options)
        self._examples = examples

    def format_help(self) -> str:
        """Examples, usage, description, arguments."""
        return _examples_block(self._examples) + super().format_help()

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse all arguments; options may stand between positional ones.

        Returns:
            The arguments, and under ``command_line`` the words that were typed.

        Raises:
            UsageError: they are not valid.
        """
        # Intermixed parsing loses the "--" that guards names beginning with a dash.
        parse = self.parse_known_args if "--" in arguments else self.parse_known_intermixed_args
        args, unknown = parse(self._completed(arguments))
        if unknown:
            raise self._unknown(unknown)
        args.command_line = (*self.prog.split(), *arguments)
        return args

    def _completed(self, arguments: Sequence[str]) -> list[str]:
        """Flags that stand alone get their value, lest they take the next argument for it."""
        flags = {
            flag: action
            for flag, action in self._option_string_actions.items()
            if getattr(action, "may_stand_alone", False)
        }
        negated = {f"--no-{flag.removeprefix('--')}": flag for flag in flags}
        end = list(arguments).index("--") if "--" in arguments else len(arguments)
        found: list[str] = []
        for at, word in enumerate(arguments):
            after = arguments[at + 1] if at + 1 < end else ""
            if at < end and word in negated:
                found.append(f"{negated[word]}=off")
            elif at < end and word in flags and not _is_value(flags[word], after):
                found.append(f"{word}=on")
            else:
                found.append(word)
        return found

    def positional_words(self) -> list[str]:
        """The positional arguments as they stand in the usage line."""
        many = {"+": "{} ...", "*": "[{} ...]", "?": "[{}]"}
        return [
            many.get(str(action.nargs), "{}").format(action.metavar or action.dest.upper())
            for action in self._get_positional_actions()
        ]

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing and exiting."""
        raise UsageError(message, f"{self.prog} --help shows the arguments")

    def _unknown(self, unknown: Sequence[str]) -> UsageError:
        option = next((x for x in unknown if x.startswith("-") and x != "-"), None)
        if option is None:
            return UsageError(f"unexpected argument {unknown[0]!r}", f"see {self.prog} --help")
        near = difflib.get_close_matches(option.split("=")[0], self._option_string_actions, n=1)
        hint = f"did you mean {near[0]}" if near else f"{self.prog} --help lists the options"
        return UsageError(f"{self.prog} has no option {option}", hint)


def _is_value(action: argparse.Action, word: str) -> bool:
    """Whether a word is one that the option's help offers in brackets."""
    return word in str(action.metavar).strip("[]").split("|")


def command_parser(name: str) -> Parser:
    """The parser of a command, with the options that every command has.

    Raises:
        UsageError: there is no such command.
    """
    command = load_command(name)
    parser = Parser(
        prog=f"qdebug {name}",
        description=help_text(command),
        examples=command.examples,
        epilog=_EXIT_CODES,
    )
    command.prepare_parser(parser)
    _add_general_options(parser)
    parser.usage = " ".join([f"qdebug {name} [options]", *parser.positional_words()])
    return parser


def main_help() -> str:
    """The text of ``qdebug --help``."""
    summaries = {name: summary(load_command(name)) for name in COMMANDS}
    wide = max(map(len, summaries))
    commands = "\n".join(f"  {name:<{wide}}  {summaries[name]}" for name in COMMANDS)
    return (
        _examples_block(_MAIN_EXAMPLES) + "usage: qdebug COMMAND [arguments]\n\n"
        "Tells where a quantized network lost its accuracy, why, and what to change.\n\n"
        f"commands:\n{commands}\n\n"
        "qdebug COMMAND --help explains a command, qdebug --version prints the version.\n\n"
        f"{_EXIT_CODES}\n"
    )


def _add_general_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("general")
    group.add_argument(
        "-q", "--quiet", action="store_true", help="verdict and findings only, no progress"
    )
    group.add_argument("-v", "--verbose", action="store_true", help="say more, also on stderr")
    group.add_argument("--debug", action="store_true", help="show tracebacks and the log")
    group.add_argument(
        "--max-unpacked",
        type=reader(values.SIZE),
        metavar="SIZE",
        help="the most that a picture, archive or report may unpack to, or one step of a pipeline "
        "may make (default 256MiB)",
    )
    group.add_argument(
        "--isolate",
        action=argparse.BooleanOptionalAction,
        help="work in a process of its own, so that a crash of a library ends in one sentence; on "
        "Linux the commands that run models always do, but with --no-isolate",
    )
    group.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="colours on stdout (auto obeys NO_COLOR, FORCE_COLOR and TERM)",
    )


def _examples_block(examples: Sequence[str]) -> str:
    return "examples:\n" + "".join(f"  {line}\n" for line in examples) + "\n"


def _formatter(prog: str) -> argparse.HelpFormatter:
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdigit() else shutil.get_terminal_size().columns
    return argparse.RawDescriptionHelpFormatter(
        prog, max_help_position=30, width=max(40, min(width, _WIDEST_HELP))
    )
