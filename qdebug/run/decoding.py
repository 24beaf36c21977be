"""Decoders compiled once per type: a run of thousands of layers is read in a fraction of a second.

A decoder takes a plain JSON value and returns the typed one, or raises ``MisfitError``, which
collects its place on the way up; where everything fits, no place is ever written down.
"""

from __future__ import annotations

import collections.abc
import contextlib
import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable
from typing import Any, Union

Decoder = Callable[[Any], Any]

_SPECIAL = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


class MisfitError(Exception):
    """A value that does not fit its type.

    Attributes:
        complaint: what is wrong, to stand behind the place.
        place: parts of the place, innermost first.
    """

    def __init__(self, complaint: str) -> None:
        super().__init__(complaint)
        self.complaint = complaint
        self.place: list[str] = []

    def text(self, where: str) -> str:
        """The whole sentence."""
        return f"{where}{''.join(reversed(self.place))} {self.complaint}"


@functools.cache
def decoder(hint: Any) -> Decoder:
    """The decoder for a type hint."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _dataclass(typing.cast(type, hint))
    if origin in (Union, types.UnionType):
        return _union(args)
    if origin is tuple:
        return _sequence(args[0]) if len(args) == 2 and args[1] is Ellipsis else _fixed(args)
    if origin is collections.abc.Mapping:
        return _mapping(args[1])
    if origin is typing.Literal:
        return _literal(args)
    return _scalar(hint)


def json_fields(cls: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a dataclass that are stored."""
    return [f for f in dataclasses.fields(cls) if f.metadata.get("json", True)]


@functools.cache
def field_hints(cls: type) -> dict[str, Any]:
    """Resolved type hints of a dataclass."""
    return typing.get_type_hints(cls)


def _dataclass(cls: type) -> Decoder:
    hints = field_hints(cls)
    parts = [(f.name, decoder(hints[f.name])) for f in json_fields(cls)]
    needed = {
        f.name
        for f in dataclasses.fields(cls)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    plain = {
        f.name: f.default for f in dataclasses.fields(cls) if f.default is not dataclasses.MISSING
    }
    made = {
        f.name: f.default_factory
        for f in dataclasses.fields(cls)
        if f.default_factory is not dataclasses.MISSING
    }

    def decode(value: Any) -> Any:
        if not isinstance(value, dict):
            raise MisfitError("should be an object")
        state = dict(plain)
        name = ""
        try:
            for name, part in parts:
                if name in value:
                    state[name] = part(value[name])
        except MisfitError as misfit:
            misfit.place.append(f".{name}")
            raise
        if not state.keys() >= needed:
            raise MisfitError(f"is incomplete: it lacks {', '.join(sorted(needed - state.keys()))}")
        for name, factory in made.items():
            if name not in state:
                state[name] = factory()
        # A frozen dataclass's own __init__ sets field by field around its guard; with half a
        # million objects that is most of the time of reading a run.
        instance: Any = object.__new__(cls)
        instance.__dict__.update(state)
        return instance

    return decode


def _union(options: tuple[Any, ...]) -> Decoder:
    nullable = type(None) in options
    decoders = [decoder(option) for option in options if option is not type(None)]

    def decode(value: Any) -> Any:
        if value is None and nullable:
            return None
        if value is None:
            raise MisfitError("should be a value")
        for part in decoders[:-1]:
            with contextlib.suppress(MisfitError):
                return part(value)
        return decoders[-1](value)

    return decode


def _sequence(item: Any) -> Decoder:
    part = decoder(item)

    def decode(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise MisfitError("should be a list")
        try:
            return tuple(map(part, value))
        except MisfitError:
            return tuple(_located(part, entry, f"[{at}]") for at, entry in enumerate(value))

    return decode


def _fixed(items: tuple[Any, ...]) -> Decoder:
    parts = [decoder(item) for item in items]

    def decode(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise MisfitError("should be a list")
        if len(value) != len(parts):
            raise MisfitError(f"should be a list of {len(parts)}")
        pairs = zip(parts, value, strict=True)
        return tuple(_located(part, entry, f"[{at}]") for at, (part, entry) in enumerate(pairs))

    return decode


def _mapping(item: Any) -> Decoder:
    part = decoder(item)

    def decode(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise MisfitError("should be an object")
        return {key: _located(part, entry, f".{key}") for key, entry in value.items()}

    return decode


def _located(part: Decoder, value: Any, place: str) -> Any:
    try:
        return part(value)
    except MisfitError as misfit:
        misfit.place.append(place)
        raise


def _literal(options: tuple[Any, ...]) -> Decoder:
    def decode(value: Any) -> Any:
        if value not in options:
            raise MisfitError(f"should be one of {options}")
        return value

    return decode


def _scalar(hint: Any) -> Decoder:
    if hint is Any:
        return lambda value: value
    if hint is float:
        return _float

    def decode(value: Any) -> Any:
        # Exact, because bool is a subclass of int; JSON gives no other subclasses.
        if type(value) is not hint:
            raise MisfitError(f"should be of type {hint.__name__}")
        return value

    return decode


def _float(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise MisfitError("should be a number of ordinary size") from None
    if isinstance(value, str) and value in _SPECIAL:
        return _SPECIAL[value]
    raise MisfitError("should be a number")
