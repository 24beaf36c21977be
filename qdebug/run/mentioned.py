"""Names that the texts of a run speak of and that none of its fields holds.

A finding may name a node that no layer stands for, a constant, or a class of the model's metadata.
Only the models know that such a word is a name, and a run is redacted without them; so the run
keeps the names it mentions.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

WORD = re.compile(r"[\w./:-]+")
"""What may be a name in running text."""
_BEHIND = frozenset(".:-_")


def heads(word: str) -> Iterator[str]:
    """The word, and what of it may be a name with something behind it, longest first.

    In running text that is a full stop or a colon; in a toolchain's setting it is what the
    toolchain makes of the name, ``NAME:fp16`` or ``NAME_Conv``.
    """
    yield word
    yield from (word[:end] for end in range(len(word) - 1, 0, -1) if word[end] in _BEHIND)


def mentioned(value: Any, names: Collection[str]) -> tuple[str, ...]:
    """The names that occur in the texts of a value, sorted.

    Args:
        value: nested dataclasses, sequences and mappings.
        names: all that may occur. One of digits only counts where it is a whole text.
    """
    texts = set(_texts(value))
    known = {name for name in names if name}
    found = known & texts
    words = {word for text in texts for word in WORD.findall(text)}
    told = {name for name in known - found if not name.isdigit()}
    found |= told & {head for word in words for head in heads(word)}
    whole = "\0".join(texts)
    found |= {name for name in told if not WORD.fullmatch(name) and name in whole}
    return tuple(sorted(found))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif dataclasses.is_dataclass(value):
        for item in dataclasses.fields(value):
            yield from _texts(getattr(value, item.name))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _texts(item)
