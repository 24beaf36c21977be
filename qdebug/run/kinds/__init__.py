"""Every kind of finding, once: ids, names, gates, what explains what.

Whoever shows or judges findings reads these records. A new kind needs its record here, the check
that raises it, and its page in ``qdebug/manual/findings``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from qdebug.run.kinds.board import BOARD_KINDS
from qdebug.run.kinds.checks import CHECK_KINDS
from qdebug.run.kinds.input import DIFFERENCES, INPUT_KINDS
from qdebug.run.kinds.kind import Family, Kind
from qdebug.run.kinds.reading import READING_KINDS

__all__ = ["DIFFERENCES", "KINDS", "Family", "Kind"]

_ALL = (*INPUT_KINDS, *CHECK_KINDS, *BOARD_KINDS, *READING_KINDS)
KINDS: Mapping[str, Kind] = MappingProxyType(
    {kind.slug: kind for kind in sorted(_ALL, key=lambda kind: kind.id)}
)
"""qdebug's own kinds by slug, in the order of their ids. Those of plug-ins are not in it."""
