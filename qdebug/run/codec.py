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
from typing import Any

import numpy as np

from qdebug.errors import RunError
from qdebug.run.decoding import MisfitError, decoder, json_fields

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
        return {name: encode(getattr(value, name)) for name in stored}
    return _encode_other(value)


def decode(hint: Any, value: Any, where: str = "run") -> Any:
    """Value of the hinted type from a plain JSON value.

    Raises:
        RunError: the value does not fit the type; names the place.
    """
    try:
        return decoder(hint)(value)
    except MisfitError as misfit:
        raise RunError(misfit.text(where)) from None


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
