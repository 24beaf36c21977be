"""The arguments of a command, made from its options, and the values that hold in the end."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdebug.errors import QdebugError, UsageError
from qdebug.options import Option, options_of, values
from qdebug.options.shared import GROUPS

if TYPE_CHECKING:
    from qdebug.config import Config
    from qdebug.preprocess import ImpliedSpec

STDOUT = "-"
"""As the name of a file: standard output."""


def add_options(parser: argparse.ArgumentParser, *owners: type) -> None:
    """Add the arguments for the options of some classes, under their headings.

    An argument that is not given is None, so that ``settled`` can tell.
    """
    options = [option for owner in owners for option in options_of(owner)]
    for option in options:
        if option.is_positional:
            parser.add_argument(
                option.name,
                metavar=option.kind.metavar,
                nargs="+" if option.many else None,
                help=option.help.replace("%", "%%"),
            )
    for title in GROUPS:
        here = [option for option in options if option.group == title]
        group = parser.add_argument_group(title) if here else None
        for option in here:
            assert group is not None
            made = group.add_argument(*option.flags, dest=option.name, **_details(option))
            made.may_stand_alone = option.kind.may_stand_alone  # type: ignore[attr-defined]


def settled(owner: type, args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """The values of a class of options: the argument's, else the configuration's.

    What neither says is left out, and so has its default.

    Raises:
        UsageError: a pipeline in the configuration is not understood.
    """
    found = {}
    for option in options_of(owner):
        value = getattr(args, option.name, None)
        if value is None and option.key and option.name in config.settings:
            value = _configured(option, config)
        if value is not None:
            found[option.name] = value
    return found


def _details(option: Option) -> dict[str, Any]:
    """How argparse takes an option."""
    shown = option.shown_default
    about = f"{option.help} (default {shown})" if shown else option.help
    about = about.replace("%", "%%")  # argparse fills its help texts in
    if option.kind is values.SWITCH:
        # What a file can set, the command line can take back.
        action: Any = argparse.BooleanOptionalAction if option.key else "store_true"
        return {"action": action, "default": None, "help": about}
    details = {"help": about, "required": option.is_required}
    if option.kind.choices:
        return {**details, "choices": option.kind.choices}
    many = {"action": "append"} if option.many else {}
    return {**details, **many, "type": reader(option.kind), "metavar": option.kind.metavar}


def reader(kind: values.Kind) -> Callable[[str], Any]:
    """How argparse reads a value of a kind; what is wrong with it stands after the option."""

    def read(text: str) -> Any:
        try:
            return kind.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def _configured(option: Option, config: Config) -> Any:
    value = config.settings[option.name]
    return _pipeline(option, value, config) if option.kind is values.SPEC else value


def _pipeline(option: Option, text: str, config: Config) -> ImpliedSpec | str:
    """A pipeline of the configuration, with the file as its origin."""
    from qdebug.vendors.reference import read_spec

    if text.lower().endswith(".toml"):
        return text
    try:
        given = read_spec(text)
    except QdebugError as error:
        raise UsageError(f"{config.name}: {option.name}: {error.message}", error.hint) from error
    return dataclasses.replace(given, origin="file", notes=(config.name, *given.notes))


def check_free(files: Mapping[str, str | None], force: bool) -> None:
    """Refuse files to write that could only fail after all the work.

    Args:
        files: what is to be written, by the option that says so; None and ``-`` write no file.
        force: whether what is there is replaced.

    Raises:
        UsageError: a folder is in the way, or a file that is to stay.
    """
    for option, file in files.items():
        if file in (None, STDOUT):
            continue
        if Path(file).is_dir():
            raise UsageError(f"{option}: {file} is a folder", "give the name of a file")
        if Path(file).exists() and not force:
            raise UsageError(f"{option}: {file} exists already", "use --force to replace it")
