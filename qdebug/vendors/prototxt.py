"""Protocol buffers as text, as several toolchains write how they quantize."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from qdebug.encodings.source import Source
from qdebug.graph.validity import name_of

_TOKEN = re.compile(
    r'\s+|#[^\n]*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|[{}\[\]:,;<>]|[^\s{}:,;"\'#\[\]<>]+'
)
_DEEPEST = 32
"""Messages inside one another (by judgement: the deepest of these files has four)."""


@dataclass(frozen=True)
class Value:
    """One value: text without its quotes, and its line from 1."""

    text: str
    line: int


@dataclass
class Message:
    """A message: its fields in order; a field that is repeated stands several times.

    Attributes:
        line: where it begins, from 1.
        fields: names with values or messages.
    """

    line: int
    fields: list[tuple[str, Value | Message]] = field(default_factory=list)

    def messages(self, name: str) -> list[Message]:
        """The messages of a field."""
        return [item for key, item in self.fields if key == name and isinstance(item, Message)]

    def values(self, name: str) -> list[Value]:
        """The values of a field."""
        return [item for key, item in self.fields if key == name and isinstance(item, Value)]

    def text(self, name: str, default: str = "") -> str:
        """The last value of a field, as protocol buffers have it."""
        found = self.values(name)
        return found[-1].text if found else default

    def numbers(self, source: Source, name: str, whose: str) -> list[float]:
        """The numbers of a field.

        Raises:
            EncodingsError: one is no finite number.
        """
        what = f"{name} of {name_of(whose)}"
        return [source.number(item.text, what, item.line) for item in self.values(name)]


def parse(source: Source) -> Message:
    """Read a text.

    Raises:
        EncodingsError: it is not well formed; with the line.
    """
    top = Message(1)
    open_messages = [top]
    tokens = _tokens(source)
    for text, line in tokens:
        if text == "}":
            if len(open_messages) == 1:
                raise source.fault("a brace is closed that was not opened", line)
            open_messages.pop()
        elif text not in (",", ";"):
            _field(source, text, line, tokens, open_messages)
    if len(open_messages) > 1:
        raise source.fault("a brace is never closed", open_messages[-1].line, "the file is cut off")
    return top


def _field(
    source: Source,
    name: str,
    line: int,
    tokens: Iterator[tuple[str, int]],
    open_messages: list[Message],
) -> None:
    """Read one field, whose name was read already."""
    text, at = _next(source, tokens, line)
    if text == ":":
        text, at = _next(source, tokens, at)
    elif text != "{":
        raise source.fault(f"{name_of(name)} has neither a value nor a brace", line)
    here = open_messages[-1]
    if text == "{":
        if len(open_messages) > _DEEPEST:
            raise source.fault("its messages are nested too deeply", at)
        here.fields.append((name, Message(line)))
        open_messages.append(here.messages(name)[-1])
    elif text == "[":
        while (text := _next(source, tokens, at)[0]) != "]":
            if text != ",":
                here.fields.append((name, Value(_plain(text), at)))
    elif text in "}:,;]<>":
        raise source.fault(f"{name_of(name)} has no value", line)
    else:
        here.fields.append((name, Value(_plain(text), at)))


def _next(source: Source, tokens: Iterator[tuple[str, int]], line: int) -> tuple[str, int]:
    found = next(tokens, None)
    if found is None:
        raise source.fault("it ends in the middle of a field", line, "the file is cut off")
    return found


def _tokens(source: Source) -> Iterator[tuple[str, int]]:
    text, at, line = source.text or "", 0, 1
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise source.fault("it is no text of a protocol buffer", line)
        at = found.end()
        token = found[0]
        if not token.isspace() and not token.startswith("#"):
            yield token, line
        line += token.count("\n")


def _plain(text: str) -> str:
    if text[:1] in "\"'" and len(text) > 1:
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text


def quoted(text: str) -> str:
    """A text as such a file holds it."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{plain}"'
