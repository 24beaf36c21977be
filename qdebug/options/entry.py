"""What the entry of an option says, and how a class of options becomes a function's arguments."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from qdebug.errors import UsageError
from qdebug.options import values

P = ParamSpec("P")
R = TypeVar("R")
Options = TypeVar("Options")

_ENTRY = "option"
_DOC_WIDTH = 96


@dataclass(frozen=True)
class Option:
    """One option, as it was declared.

    Attributes:
        name: the Python parameter and, where ``key``, the key in ``qdebug.toml``.
        default: what holds where nobody says anything; ``dataclasses.MISSING`` if somebody must.
        help: one phrase for users.
        kind: how its value is read.
        flags: on the command line; none for a positional argument, and for what only Python takes.
        group: heading in the help text; empty for a positional argument.
        key: whether ``qdebug.toml`` may set it.
        many: whether it takes several values.
    """

    name: str
    default: Any
    help: str
    kind: values.Kind
    flags: tuple[str, ...] = ()
    group: str = ""
    key: bool = False
    many: bool = False

    @property
    def is_required(self) -> bool:
        """Whether there is no default."""
        return self.default is dataclasses.MISSING

    @property
    def is_positional(self) -> bool:
        """Whether the command line takes it by its place."""
        return not self.flags and bool(self.kind.metavar)

    @property
    def shown_default(self) -> str:
        """The default as users write it; empty where the help text has to say it."""
        if self.is_required or self.default in (None, False, ()):
            return ""
        return "on" if self.default is True else self.kind.show(self.default)


def options_of(owner: Any) -> tuple[Option, ...]:
    """The options that a class of options has."""
    return tuple(
        dataclasses.replace(item.metadata[_ENTRY], name=item.name, default=item.default)
        for item in dataclasses.fields(owner)
    )


def takes(
    owner: Callable[P, Options],
) -> Callable[[Callable[[Options], R]], Callable[P, R]]:
    """Give a function the options of a class as its arguments.

    ``@takes(CompareOptions)`` over ``compare(options)`` makes ``compare(float_model, ...,
    limit=4)``, with the types, the defaults and the documentation of the fields.
    """

    def decorate(function: Callable[[Options], R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return function(owner(*args, **kwargs))

        returned = inspect.signature(function).return_annotation
        signature = inspect.signature(owner).replace(return_annotation=returned)
        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__doc__ = _documented(inspect.getdoc(function) or "", options_of(owner))
        return call

    return decorate


def _documented(doc: str, options: Sequence[Option]) -> str:
    """A docstring with a section about the arguments, before what it raises."""
    about, raises, rest = doc.partition("Raises:")
    wrap = functools.partial(textwrap.fill, width=_DOC_WIDTH, subsequent_indent=" " * 8)
    ordered = sorted(options, key=lambda option: not option.is_required)
    lines = [wrap(f"    {option.name}: {option.help}.") for option in ordered]
    return "\n".join([f"{about.rstrip()}\n", "Args:", *lines, "", f"{raises}{rest}"]).rstrip()


def entry(
    help_text: str,
    *flags: str,
    kind: values.Kind,
    group: str = "",
    key: bool = False,
    many: bool = False,
) -> dict[str, Option]:
    """The metadata of a field that has no default: what somebody must give."""
    made = Option("", dataclasses.MISSING, help_text, kind, flags, group, key, many)
    return {_ENTRY: made}


def option(default: Any, help_text: str, *flags: str, **rest: Any) -> Any:
    """A field with a default; the rest as for ``entry``."""
    return field(default=default, metadata=entry(help_text, *flags, **rest))


def like(owner: type, name: str, help_text: str = "") -> Any:
    """The option of another class, with a help of its own where one is given."""
    (given,) = (option for option in options_of(owner) if option.name == name)
    changed = dataclasses.replace(given, help=help_text or given.help)
    return field(default=given.default, metadata={_ENTRY: changed})


class Checked:
    """Options whose plain values are read as those of ``qdebug.toml`` are.

    Raises:
        UsageError: a value is not understood; names the option.
    """

    def __post_init__(self) -> None:
        for option in options_of(self):
            value = getattr(self, option.name)
            if isinstance(value, (str, int)) and value != option.default:
                try:
                    object.__setattr__(self, option.name, option.kind.load(value))
                except ValueError as error:
                    raise UsageError(f"{option.name}: {error}", option.help) from None
