"""How the value of an option is read: on the command line, in ``qdebug.toml``, from Python.

Every reader raises ``ValueError`` with one sentence; who calls it names the option.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qdebug.quantities import format_exact_size, parse_keep_tensors, parse_size

if TYPE_CHECKING:
    from qdebug.run.model import Limit

Json = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One kind of value.

    Attributes:
        parse: from the text of the command line.
        load: from a plain value (text, number, truth value, table) of a file or of Python.
        schema: JSON Schema of what ``load`` takes; empty where no file holds such a value.
        metavar: what stands for the value in a help text.
        show: the value as users write it.
        choices: all values there are, where they can be listed.
        may_stand_alone: whether the flag needs no value: it is then ``on``, and ``off`` with
            ``--no-`` in front.
    """

    parse: Callable[[str], Any]
    load: Callable[[Any], Any]
    schema: Json
    metavar: str
    show: Callable[[Any], str] = str
    choices: tuple[str, ...] = ()
    may_stand_alone: bool = False


def choice(*options: str) -> Kind:
    """One of a few words."""

    def read(value: Any) -> str:
        if value not in options:
            raise ValueError(f"{value!r} is not one of {', '.join(options)}")
        return str(value)

    return Kind(read, read, {"enum": list(options)}, "WORD", choices=options)


def text(metavar: str) -> Kind:
    """Any text but the empty one; its meaning is checked where it is used."""
    return Kind(str, _text, _TEXT_SCHEMA, metavar)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not a text")
    return value


_MOST = 2**31 - 1
"""ONNX Runtime takes its counts as 32-bit integers."""
_MOST_BYTES = 2**63 - 1
"""Nothing addresses more."""
_MOST_AT_ONCE = 1024
"""By judgement more than one machine has processors; each thread and process is really begun."""


def _count(value: Any, most: int = _MOST) -> int:
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = 0
    return _counted(number, value, most)


def _counted(number: int, given: Any, most: int) -> int:
    if number > most:
        raise ValueError(f"{given!r} is more than {most}")
    if number < 1:
        raise ValueError(f"{given!r} is not a whole number from 1")
    return number


def _parse_count(given: str, most: int = _MOST) -> int:
    number = int(given[:20]) if given.isascii() and given.isdigit() else 0
    return _counted(number, given, most)


def _natural(value: Any) -> int:
    number = int(value[:20]) if isinstance(value, str) and value.isdecimal() else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= _MOST:
        raise ValueError(f"{value!r} is not a whole number from 0")
    return number


def _share(value: Any) -> float:
    number = _number(str(value)) if not isinstance(value, bool) else None
    if number is None or not 0 <= number <= 1:
        raise ValueError(f"{value!r} is not a number from 0 to 1")
    return number


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _switch_or(word: str) -> Kind:
    """On, off, or one word that says how."""

    def read(value: Any) -> bool | str:
        if isinstance(value, bool) or value == word:
            return value if isinstance(value, bool) else word
        if value in ("on", "off"):
            return bool(value == "on")
        raise ValueError(f"{value!r} is neither true nor false nor {word!r}")

    schema: Json = {"enum": [True, False, word]}
    return Kind(read, read, schema, f"[{word}]", may_stand_alone=True)


def _size(value: Any) -> int:
    return parse_size(value) if isinstance(value, str) else _count(value, _MOST_BYTES)


def _spec(value: Any) -> str:
    """The text form of a spec; a table with ``[[step]]`` tables is turned into it."""
    if isinstance(value, str):
        return _text(value)
    from qdebug.preprocess.spec import PreprocessSpec

    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is neither a text nor a table")
    return str(PreprocessSpec.from_mapping(value))


def _vendor(value: Any) -> str:
    from qdebug.vendors.advice import known_vendor

    return known_vendor(_text(value))


def _written(value: Any) -> str:
    from qdebug.vendors.advice import known_vendor

    return known_vendor(_text(value), "encodings")


def _format(value: Any) -> str:
    from qdebug.vendors.quant_files import known_format

    return known_format(_text(value))


_METHODS = ("max", "mse", "kl")


def _method(value: Any) -> str:
    """A way to choose ranges; percentiles in per cent of the values that are to lie inside."""
    given = _text(value)
    name, equals, share = given.partition("=")
    if name == "percentile":
        number = _number(share) if equals else 99.99
        if number is None or not 50 < number <= 100:
            raise ValueError(f"{share!r} is not a percentile between 50 and 100")
        return f"percentile={number:g}"
    if given not in _METHODS:
        raise ValueError(f"{given!r} is not one of {', '.join(_METHODS)}, percentile=99.99")
    return given


def _parse_shape(given: str) -> tuple[int, ...]:
    parts = [part.strip() for part in re.split(r"[x,]", given.strip("[]() ").lower())]
    if not all(part.isascii() and part.isdigit() and part.strip("0") for part in parts):
        raise ValueError(f"{given!r} is not a shape such as 1,3,640,640")
    return tuple(map(_parse_count, parts))


def _shape(value: Any) -> tuple[int, ...]:
    return _parse_shape(value) if isinstance(value, str) else tuple(map(_count, value))


def _parse_limit(given: str) -> Limit:
    """``METRIC=VALUE``, or ``task.NUMBER=VALUE`` about a number of the task."""
    from qdebug.metrics.metric import METRICS
    from qdebug.run.model import TASK_PREFIX, Limit

    name, equals, value = given.partition("=")
    if not equals:
        raise ValueError(f"{given!r} is not METRIC=VALUE such as cosine=0.99")
    allowed = [metric for metric in METRICS if METRICS[metric].better == "higher"]
    if name not in allowed and not name.startswith(TASK_PREFIX):
        raise ValueError(_unknown_metric(name, allowed, list(METRICS)))
    number = _number(value)
    if number is None:
        raise ValueError(f"{value!r} is not a number")
    return Limit(name, number, "min", "flag")


def _parse_score(given: str) -> Limit:
    """``METRIC=VALUE`` about a score on a data set; which metrics there are depends on its task."""
    from qdebug.run.model import Limit

    name, equals, value = given.partition("=")
    number = _number(value)
    if not equals or not name or number is None:
        raise ValueError(f"{given!r} is not METRIC=VALUE such as map50_95=0.32")
    return Limit(name, number, "min", "flag")


def _unknown_metric(name: str, allowed: list[str], known: list[str]) -> str:
    if name in known:
        return f"{name} is not better when it is higher; set its limit in qdebug.toml"
    near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.4)
    return f"there is no metric {name!r}; did you mean {(near or allowed)[0]!r}?"


def _number(given: str) -> float | None:
    try:
        value = float(given)
    except ValueError:
        return None
    return None if math.isnan(value) else value


def _as_it_is(value: Any) -> Any:
    return value


_TEXT_SCHEMA: Json = {"type": "string", "minLength": 1}
_COUNT_SCHEMA: Json = {"type": "integer", "minimum": 1}


def _budget(given: Any) -> str:
    """``12`` or ``macs=2%``, as it was written."""
    text = str(given)
    name, equals, share = text.partition("=")
    if not equals and text.isascii() and text.isdigit():
        return text
    percent = _number(share.removesuffix("%")) if share.endswith("%") else None
    if name != "macs" or percent is None or not 0 <= percent <= 100:
        raise ValueError(f"{given!r} is neither a number of units nor macs=2%")
    return text


_UNITS = {"s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


def _duration(given: Any) -> float:
    """Seconds of ``60s``, ``5min`` or ``1h``; a plain number is seconds."""
    text = str(given).strip().lower()
    unit = text.lstrip("0123456789.")
    seconds = _number(text[: len(text) - len(unit)])
    if seconds is None or not 0 < seconds < math.inf or (unit and unit not in _UNITS):
        raise ValueError(f"{given!r} is not a time such as 60s or 5min")
    return seconds * _UNITS.get(unit, 1.0)


BUDGET = Kind(_budget, _budget, {}, "N")
"""How many units may be given more bits."""
DURATION = Kind(_duration, _duration, {}, "TIME")
"""A time, in seconds."""
COUNT = Kind(_parse_count, _count, _COUNT_SCHEMA, "N")
"""A whole number from 1."""
AT_ONCE = Kind(
    lambda given: _parse_count(given, _MOST_AT_ONCE),
    lambda value: _count(value, _MOST_AT_ONCE),
    {**_COUNT_SCHEMA, "maximum": _MOST_AT_ONCE},
    "N",
)
"""How many threads or processes: a whole number from 1."""
NATURAL = Kind(_natural, _natural, {"type": "integer", "minimum": 0}, "N")
"""A whole number from 0."""
SHARE = Kind(_share, _share, {"type": "number", "minimum": 0, "maximum": 1}, "SHARE")
"""A number from 0 to 1."""
SWITCH = Kind(bool, _switch, {"type": "boolean"}, "")
"""On or off."""
SENSITIVITY = _switch_or("exact")
"""On, off, or the word ``exact``."""
LOCAL = _switch_or("all")
"""On, off, or the word ``all``."""
SIZE = Kind(
    parse_size, _size, {"anyOf": [_TEXT_SCHEMA, _COUNT_SCHEMA]}, "SIZE", show=format_exact_size
)
"""Bytes, see ``parse_size``."""
KEEP = Kind(
    parse_keep_tensors,
    lambda value: parse_keep_tensors(_text(value)),
    {"type": "string", "pattern": r"^(none|all|worst:[1-9]\d*)$"},
    "WHICH",
)
"""Which tensors to keep, see ``parse_keep_tensors``."""
SPEC = Kind(str, _spec, {"anyOf": [_TEXT_SCHEMA, {"type": "object"}]}, "SPEC")
"""A preprocessing spec: its text, a preset, the name of a TOML file, or a table."""
VENDOR = Kind(_vendor, _vendor, _TEXT_SCHEMA, "NAME")
"""A toolchain, see ``known_vendor``."""
TOLD = Kind(_written, _written, _TEXT_SCHEMA, "NAME")
"""A toolchain whose files are written."""
FORMAT = Kind(_format, _format, {}, "FORMAT")
"""A format of a toolchain's file, see ``known_format``."""
METHOD = Kind(_method, _method, {}, "METHOD")
"""How the ranges of a calibration are chosen."""
SHAPE = Kind(_parse_shape, _shape, {}, "SHAPE")
"""``1,3,640,640`` or ``1x3x640x640``."""
LIMIT = Kind(_parse_limit, _as_it_is, {}, "METRIC=VALUE")
"""A metric and the value it must reach at every output."""
SCORE = Kind(_parse_score, _as_it_is, {}, "METRIC=VALUE")
"""A score on a data set and the value it must reach."""
OBJECT = Kind(_as_it_is, _as_it_is, {}, "")
"""What only Python can give."""
