"""What was read from a toolchain's file, in sentences; for every form of report."""

from __future__ import annotations

from collections import Counter

from qdebug.run.model import EncodingsInfo
from qdebug.vocabulary.names import visible
from qdebug.vocabulary.numbers import plural

_REASONS = 3


def sentences(info: EncodingsInfo | None) -> list[str]:
    """What was read, what of it found its place, why the rest did not, and what has no entry.

    Args:
        info: of the quant model; None where a graph was given: then there is nothing to say.
    """
    if info is None:
        return []
    lines = [f"{info.form}: {info.placed} of {plural(info.entries, 'entry', 'entries')} placed"]
    for reason, count in Counter(x.reason for x in info.unplaced).most_common(_REASONS):
        first = next(x.name for x in info.unplaced if x.reason == reason)
        more = f" and {count - 1} more" if count > 1 else ""
        lines.append(f"not used: {visible(first)}{more}: {visible(reason)}")
    rest = (f"{plural(item.tensors, 'tensor')}: {item.reason}" for item in info.rest)
    return [*lines, *(f"without an entry: {text}" for text in rest), *map(visible, info.notes)]
