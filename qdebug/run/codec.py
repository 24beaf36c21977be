"""Frozen dataclasses to plain JSON values and back, driven by their type hints.

Floats are rounded to 9 significant digits so that equal runs give equal bytes; infinities and NaN
become the strings ``"inf"``, ``"-inf"`` and ``"nan"``. Unknown keys are ignored on reading, so
that a newer minor version can add fields.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import math
import types
import typing
from typing import Any, Union

import numpy as np

from qdebug.errors import RunError

_PLAIN = (str, int, bool, type(None))
_SPECIAL = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


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
        return {name: encode(getattr(value, name)) for name in stored}
    return _encode_other(value)


def decode(hint: Any, value: Any, where: str = "run") -> Any:
    """Value of the hinted type from a plain JSON value.

    Raises:
        RunError: the value does not fit the type; names the place.
    """
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return _decode_dataclass(typing.cast(type, hint), value, where)
    if origin in (Union, types.UnionType):
        return _decode_union(typing.get_args(hint), value, where)
    if origin is tuple:
        return _decode_tuple(typing.get_args(hint), value, where)
    if origin is collections.abc.Mapping:
        _require(isinstance(value, dict), where, "an object")
        item = typing.get_args(hint)[1]
        return {key: decode(item, part, f"{where}.{key}") for key, part in value.items()}
    if origin is typing.Literal:
        _require(value in typing.get_args(hint), where, f"one of {typing.get_args(hint)}")
        return value
    return _decode_scalar(hint, value, where)


def json_fields(cls: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a dataclass that are stored."""
    return [f for f in dataclasses.fields(cls) if f.metadata.get("json", True)]


@functools.cache
def field_hints(cls: type) -> dict[str, Any]:
    """Resolved type hints of a dataclass."""
    return typing.get_type_hints(cls)


def _encode_other(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, collections.abc.Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (np.generic, np.ndarray)):
        return encode(value.tolist())
    return value


@functools.cache
def _stored_names(cls: Any) -> tuple[str, ...] | None:
    """Names of the stored fields; None for what is not a dataclass."""
    return tuple(f.name for f in json_fields(cls)) if dataclasses.is_dataclass(cls) else None


def _encode_float(value: float) -> float | str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return float(f"{value:.9g}")


def _decode_dataclass(cls: type, value: Any, where: str) -> Any:
    _require(isinstance(value, dict), where, "an object")
    hints = field_hints(cls)
    known = {
        f.name: decode(hints[f.name], value[f.name], f"{where}.{f.name}")
        for f in json_fields(cls)
        if f.name in value
    }
    try:
        return cls(**known)
    except TypeError as error:
        raise RunError(f"{where} is incomplete: {error}") from error


def _decode_union(options: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None:
        _require(type(None) in options, where, "a value")
        return None
    last: RunError | None = None
    for option in options:
        if option is type(None):
            continue
        try:
            return decode(option, value, where)
        except RunError as error:
            last = error
    raise last or RunError(f"{where} has no type")


def _decode_tuple(items: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    _require(isinstance(value, list), where, "a list")
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(decode(items[0], part, f"{where}[{i}]") for i, part in enumerate(value))
    _require(len(items) == len(value), where, f"a list of {len(items)}")
    return tuple(decode(items[i], part, f"{where}[{i}]") for i, part in enumerate(value))


def _decode_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    if hint is float:
        if isinstance(value, str) and value in _SPECIAL:
            return _SPECIAL[value]
        _require(isinstance(value, (int, float)) and not isinstance(value, bool), where, "a number")
        return _to_float(value, where)
    is_bool_for_int = hint is int and isinstance(value, bool)
    _require(isinstance(value, hint) and not is_bool_for_int, where, f"of type {hint.__name__}")
    return value


def _to_float(value: float, where: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise RunError(f"{where} should be a number of ordinary size") from None


def _require(condition: bool, where: str, expected: str) -> None:
    if not condition:
        raise RunError(f"{where} should be {expected}")
