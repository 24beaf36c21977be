"""Values of options: sizes, limits, shapes.

Each raises ``argparse.ArgumentTypeError``, whose message stands after the option's name.
"""

from __future__ import annotations

import argparse
import difflib
import math
import re
from typing import TYPE_CHECKING

from qdebug.quantities import parse_keep_tensors, parse_size

if TYPE_CHECKING:
    from qdebug.run.model import Limit


def size(text: str) -> int:
    """Bytes; see ``parse_size``."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def keep_tensors(text: str) -> str:
    """Which tensors to keep; see ``parse_keep_tensors``."""
    try:
        return parse_keep_tensors(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def positive(text: str) -> int:
    """A whole number from 1."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def shape(text: str) -> tuple[int, ...]:
    """``1,3,640,640`` or ``1x3x640x640``."""
    parts = [part.strip() for part in re.split(r"[x,]", text.strip("[]() ").lower())]
    if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a shape such as 1,3,640,640")
    return tuple(int(part) for part in parts)


def lower_limit(text: str) -> Limit:
    """``METRIC=VALUE``: the metric must reach the value at every output.

    ``task.NUMBER=VALUE`` is about a number of the task.
    """
    from qdebug.metrics.metric import METRICS
    from qdebug.run.model import TASK_PREFIX, Limit

    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not METRIC=VALUE such as cosine=0.99")
    allowed = [metric for metric in METRICS if METRICS[metric].better == "higher"]
    if name not in allowed and not name.startswith(TASK_PREFIX):
        raise argparse.ArgumentTypeError(_unknown_metric(name, allowed, list(METRICS)))
    number = _number(value)
    if number is None:
        raise argparse.ArgumentTypeError(f"{value!r} is not a number")
    return Limit(name, number, "min", "flag")


def vendor(text: str) -> str:
    """A toolchain; see ``known_vendor``."""
    from qdebug.vendors.advice import known_vendor

    try:
        return known_vendor(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _unknown_metric(name: str, allowed: list[str], known: list[str]) -> str:
    if name in known:
        return f"{name} is not better when it is higher; set its limit in qdebug.toml"
    near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.4)
    return f"there is no metric {name!r}; did you mean {(near or allowed)[0]!r}?"


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) else value
