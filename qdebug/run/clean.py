"""The one place where the texts of a run become harmless, before anybody shows them.

A run may come from a stranger. Characters that drive a terminal or turn the direction of a text
are spelled out when it is read, so that no screen or report has to think of them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from qdebug.vocabulary.names import visible

_BEYOND_ASCII = re.compile("[^\x00-\x7e]")
_ESCAPES = re.compile(rb"\\[ubtfr]")
"""Escapes of JSON that may stand for a hostile character; raw ones JSON does not allow."""


def hostile_characters(text: str) -> frozenset[str]:
    """Characters from DEL on that are spelled out where a text is shown."""
    return frozenset(c for c in set(_BEYOND_ASCII.findall(text)) if visible(c) != c)


def may_hide(content: bytes) -> bool:
    """Whether a JSON text may hold what has to be spelled out; quick, and never wrongly false.

    Args:
        content: UTF-8.
    """
    return bool(_ESCAPES.search(content) or b"\x7f" in content) or (
        not content.isascii() and bool(hostile_characters(content.decode()))
    )


def cleaned(value: Any) -> Any:
    """The value with every text made visible.

    Args:
        value: nested dataclasses, sequences and mappings. Line breaks stay.
    """
    if isinstance(value, str):
        return visible(value, lines=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _cleaned_dataclass(value)
    if isinstance(value, Mapping):
        return {cleaned(key): cleaned(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(map(cleaned, value))
    return value


def _cleaned_dataclass(value: Any) -> Any:
    fields = (f.name for f in dataclasses.fields(value) if f.metadata.get("json", True))
    old = {name: getattr(value, name) for name in fields}
    new = {name: cleaned(item) for name, item in old.items()}
    changed = {name: item for name, item in new.items() if item is not old[name]}
    return dataclasses.replace(value, **changed) if changed else value
