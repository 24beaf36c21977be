"""Frozen dataclasses to plain JSON values and back, driven by their type hints.

Floats are rounded to 9 significant digits so that equal runs give equal bytes; infinities and NaN
become the strings ``"inf"``, ``"-inf"`` and ``"nan"``. Unknown keys are ignored on reading, so
that a newer minor version can add fields.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from qdebug.errors import RunError
from qdebug.metrics.entry import KEY
from qdebug.run.decoding import (
    LEFT_OUT,
    MisfitError,
    field_hints,
    is_required,
    json_fields,
    reader,
)

_PLAIN = (str, int, bool, type(None))


def encode(value: Any) -> Any:
    """Plain JSON value (dict, list, str, int, float, bool, None) of a dataclass or container.

    NumPy scalars and arrays, which evidence often holds, become Python numbers and lists.
    """
    kind: Any = type(value)
    if kind is float:
        return _encode_float(value)
    if kind in _PLAIN:
        return value
    stored = _stored_names(kind)
    if stored is not None:
        made = {name: encode(getattr(value, name)) for name in stored}
        for name in _left_out_names(kind):
            if made[name] is None:
                del made[name]
        return made
    return _encode_other(value)


def decode(hint: Any, value: Any, where: str = "run") -> Any:
    """Value of the hinted type from a plain JSON value or a JSON text (``msgspec.Raw``).

    Raises:
        RunError: the value does not fit the type; names the place.
    """
    with _at(where):
        return reader(hint).read(value)


def decode_parts(cls: type, parts: Mapping[str, Any], where: str = "run") -> Any:
    """A dataclass from its fields, each as ``decode`` takes it; lists are read entry by entry.

    A list of thousands of layers would keep every other thread waiting, were it read at once.

    Raises:
        RunError: a field does not fit its type or is missing; names the place.
    """
    hints, fields = field_hints(cls), json_fields(cls)
    values = {
        f.name: _decode_part(hints[f.name], parts[f.name], f"{where}.{f.name}")
        for f in fields
        if f.name in parts
    }
    lacking = sorted(f.name for f in fields if is_required(f) and f.name not in values)
    if lacking:
        raise RunError(f"{where} is incomplete: it lacks {', '.join(lacking)}")
    return cls(**values)


def _decode_part(hint: Any, part: Any, where: str) -> Any:
    item, *rest = typing.get_args(hint) or (None,)
    if typing.get_origin(hint) is not tuple or rest != [Ellipsis]:
        return decode(hint, part, where)
    entry_hint: Any = msgspec.Raw if isinstance(part, msgspec.Raw) else Any
    entries = decode(list[entry_hint], part, where)
    read, values = reader(item).read, []
    try:
        for entry in entries:
            values.append(read(entry))  # noqa: PERF401 - its length tells where reading stopped
    except MisfitError as misfit:
        raise RunError(f"{where}[{len(values)}]{misfit}") from None
    return tuple(values)


@contextlib.contextmanager
def _at(where: str) -> Iterator[None]:
    try:
        yield
    except MisfitError as misfit:
        raise RunError(f"{where}{misfit}") from None


def _encode_other(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (np.generic, np.ndarray)):
        return encode(value.tolist())
    return value


@functools.cache
def _stored_names(cls: Any) -> tuple[str, ...] | None:
    """Names of the stored fields; None for what is not a dataclass."""
    return tuple(f.name for f in json_fields(cls)) if dataclasses.is_dataclass(cls) else None


@functools.cache
def _left_out_names(cls: Any) -> tuple[str, ...]:
    """What may not have been measured; a run keeps the fields it was written with."""
    return tuple(
        f.name
        for f in json_fields(cls)
        if LEFT_OUT in f.metadata or (KEY in f.metadata and not is_required(f))
    )


def _encode_float(value: float) -> float | str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return float(f"{value:.9g}")
