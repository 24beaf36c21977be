"""Typed values out of JSON, by the type hints of the dataclasses they go into.

msgspec reads JSON straight into dataclasses, several times faster than Python can walk what
``json`` has read. Infinite and undefined numbers, which are stored as strings, are beyond it; few
layers have any, so a text is read as if it had none, and in another way where that fails.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import re
import types
import typing
from typing import Any, Literal, Union

import msgspec

_Number = float | Literal["inf", "-inf", "nan"]
LEFT_OUT = "left_out"
"""Marks a field, in its metadata, that is not stored where it is None."""
_EXPECTED = re.compile(r"Expected `(?P<kinds>[^`]+)`(?P<rest>.*)")
_INVALID = "Invalid enum value "
_LACKS = re.compile(r"Object missing required field `(?P<name>.+)`")
_KINDS = {
    "array": "a list",
    "object": "an object",
    "float": "a number",
    "str": "of type str",
    "int": "of type int",
    "bool": "of type bool",
}


class MisfitError(Exception):
    """A value that does not fit its type.

    Attributes:
        place: where in the value that was read, for instance ``[3].accumulated``.
        complaint: what is wrong, to stand behind the place.
    """

    def __init__(self, error: Exception) -> None:
        text, _, place = str(error).partition(" - at `$")
        self.place = place.removesuffix("`")
        self.complaint = _complaint(text)
        super().__init__(f"{self.place} {self.complaint}")


class Reader:
    """Reads values of one type hint; ``reader`` keeps one for each."""

    def __init__(self, hint: Any) -> None:
        self._hint = hint
        self._exact = msgspec.json.Decoder(hint)

    def read(self, source: Any) -> Any:
        """The value of a well-formed JSON text (``msgspec.Raw``) or of what ``json`` has read.

        Raises:
            MisfitError: it does not fit the type.
        """
        try:
            if not isinstance(source, msgspec.Raw):
                return self._from_plain(source)
            try:
                return self._exact.decode(source)
            except msgspec.ValidationError:
                # Not being strict turns "inf" into a number, but "12" as well: so look first.
                checked, lax = self._special
                checked.decode(source)
                return lax.decode(source)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            raise MisfitError(error) from None

    def _from_plain(self, value: Any) -> Any:
        msgspec.convert(value, stored_form(self._hint))
        return msgspec.convert(value, self._hint, strict=False)

    @functools.cached_property
    def _special(self) -> tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]:
        checked = msgspec.json.Decoder(stored_form(self._hint))
        return checked, msgspec.json.Decoder(self._hint, strict=False)


@functools.cache
def reader(hint: Any) -> Reader:
    """The reader of a type hint."""
    return Reader(hint)


@functools.cache
def stored_form(hint: Any) -> Any:
    """The hint of what is stored: a number may be one of three strings, an object is a struct."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is float:
        return _Number
    if dataclasses.is_dataclass(hint):
        return _struct(typing.cast(type, hint))
    if origin in (Union, types.UnionType):
        return Union[tuple(stored_form(option) for option in args)]  # noqa: UP007
    if origin is tuple:
        return tuple[tuple(arg if arg is Ellipsis else stored_form(arg) for arg in args)]  # type: ignore[misc]
    if origin is collections.abc.Mapping:
        return dict[str, stored_form(args[1])]  # type: ignore[misc]
    return hint


def json_fields(cls: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a dataclass that are stored."""
    return [f for f in dataclasses.fields(cls) if f.metadata.get("json", True)]


def is_required(field: dataclasses.Field[Any]) -> bool:
    """Whether a field has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


@functools.cache
def field_hints(cls: type) -> dict[str, Any]:
    """Resolved type hints of a dataclass."""
    return typing.get_type_hints(cls)


def _struct(cls: type) -> type[msgspec.Struct]:
    hints = field_hints(cls)
    fields = [
        (f.name, stored_form(hints[f.name]), *(() if is_required(f) else (None,)))
        for f in json_fields(cls)
    ]
    return msgspec.defstruct(cls.__name__, fields, kw_only=True, gc=False)


def _complaint(text: str) -> str:
    """What msgspec says, in the words of a sentence on a place."""
    if expected := _EXPECTED.fullmatch(text):
        kinds = [_KINDS.get(kind, kind) for kind in expected["kinds"].split(" | ")]
        if "a number" in kinds:  # its three strings are no kind of their own
            kinds = [kind for kind in kinds if kind != "of type str"]
        return f"should be {' or '.join(kinds)}{expected['rest'].replace('`', '')}"
    if lacks := _LACKS.fullmatch(text):
        return f"is incomplete: it lacks {lacks['name']}"
    if text.startswith(_INVALID):
        return f"cannot be {text.removeprefix(_INVALID)}"
    return f"does not fit: {text[:1].lower()}{text[1:]}"
