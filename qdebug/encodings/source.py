"""A file that may hold encodings, and complaints that name its lines."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from qdebug.encodings.model import Entry
from qdebug.errors import EncodingsError
from qdebug.graph.qparams import code_range
from qdebug.graph.validity import name_of, shortened

MAX_BYTES = 1 << 28
"""No table is larger (by judgement: the largest that is known, AIMET's of a language model with a
scale for each block, has some 100 MB)."""

MISREAD = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What Python raises where a value is not what a reader takes it for."""


@dataclass(frozen=True)
class Source:
    """The content of a file, read once.

    Attributes:
        path: of the file.
        content: its bytes.
    """

    path: Path
    content: bytes

    @classmethod
    def read(cls, path: Path) -> Source:
        """Read a file.

        Raises:
            EncodingsError: it is missing, empty, too large or cannot be read.
        """
        try:
            size = path.stat().st_size
            if size > MAX_BYTES:
                raise EncodingsError(f"{path} has {size:,} bytes: no table is so large")
            content = path.read_bytes()
        except OSError as error:
            reason = error.strerror or str(error)
            raise EncodingsError(f"{path} cannot be read: {reason}", "check the path") from error
        if not content:
            raise EncodingsError(f"{path} is empty")
        return cls(path, content)

    @property
    def name(self) -> str:
        """File name without its folder."""
        return self.path.name

    @property
    def sha256(self) -> str:
        """Hash of the content."""
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def text(self) -> str | None:
        """The content as text, None where it is none."""
        try:
            text = self.content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return None
        return None if "\0" in text else text

    @cached_property
    def head(self) -> str:
        """The first lines, to recognize a format by; empty where the content is no text."""
        return self.content[:4096].decode("utf-8", "ignore") if self.text is not None else ""

    @cached_property
    def json(self) -> Any:
        """The content as JSON; None where it does not even begin as such.

        Raises:
            EncodingsError: it begins as JSON and is none, or a key stands twice in one object.
        """
        if self.head.lstrip()[:1] not in ("{", "["):
            return None
        try:
            return json.loads(self.text or "", object_pairs_hook=self._object)
        except json.JSONDecodeError as error:
            hint = "the file is cut off, or was edited by hand"
            raise self.fault(f"it is no JSON: {error.msg}", error.lineno, hint) from None
        except RecursionError:
            raise self.fault("its JSON is nested too deeply") from None

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise self.fault(f"{name_of(twice)} stands in it twice")
        return found

    def lines(self) -> Iterator[tuple[int, str]]:
        """Lines with their numbers, from 1, without comments (``#``) and blank ones."""
        for number, line in enumerate((self.text or "").splitlines(), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                yield number, line

    def fault(
        self, message: str, line: int | None = None, hint: str | None = None
    ) -> EncodingsError:
        """A complaint about a place in the file."""
        place = f"{self.name}, line {line}" if line is not None else self.name
        return EncodingsError(f"{place}: {message}", hint)

    @contextlib.contextmanager
    def understanding(self, what: str) -> Iterator[None]:
        """Inside, whatever the content is not becomes a complaint about it.

        Raises:
            EncodingsError: something was not what the reader took it for.
        """
        try:
            yield
        except MISREAD as error:
            raise self.fault(f"{what} is not understood: {shortened(repr(error))}") from error

    def number(self, text: str, what: str, line: int | None = None) -> float:
        """A finite number.

        Raises:
            EncodingsError: the text is none.
        """
        try:
            value = float(text)
        except ValueError:
            raise self.fault(f"{what} is {name_of(text)}, which is no number", line) from None
        if not np.isfinite(value):
            raise self.fault(f"{what} is {value}", line)
        return value

    def checked(self, entries: Sequence[Entry]) -> tuple[Entry, ...]:
        """The entries, none of which contradicts another or cannot be meant.

        Raises:
            EncodingsError: two entries for one name, a scale that is zero, negative or not finite,
                or a zero point that is no code; or there is no entry at all.
        """
        if not entries:
            raise self.fault("it has no entries", hint="the file is cut off or of another format")
        seen: dict[tuple[str, str, tuple[str, ...]], Entry] = {}
        for entry in entries:
            key = (entry.kind, entry.name, entry.readers)
            if key in seen:
                first = seen[key].line
                before = f", as in line {first}" if first is not None else ""
                raise self.fault(f"{name_of(entry.name)} has a second entry{before}", entry.line)
            seen[key] = entry
            self._check(entry)
        return tuple(entries)

    def _check(self, entry: Entry) -> None:
        if not entry.name:
            raise self.fault("an entry has no name", entry.line)
        scale = entry.encoding.scale
        if scale is not None and not (np.isfinite(scale).all() and (scale > 0).all()):
            wrong = float(scale[~(np.isfinite(scale) & (scale > 0))].flat[0])
            whose = f"the scale of {name_of(entry.name)} is {wrong:g}"
            raise self.fault(f"{whose}; it must be finite and above zero", entry.line)
        self._check_zero_point(entry)

    def _check_zero_point(self, entry: Entry) -> None:
        zero, dtype = entry.encoding.zero_point, entry.encoding.dtype
        if zero is None or entry.encoding.is_float:
            return
        low, high = code_range(dtype)
        outside = zero[(zero < low) | (zero > high)]
        if outside.size:
            whose = f"the zero point of {name_of(entry.name)} is {outside.flat[0]}"
            raise self.fault(
                f"{whose}; {dtype} holds {low} to {high}",
                entry.line,
                "a range has to hold zero, or padding and Relu could not be exact",
            )
