"""A change near the end, on top of another one: begun at what that one's run left there.

What findings would undo is undone, and the changes that were tried before are tried again on top of
it. Where the one is near the end and the other before it, neither touches what the other does: the
nodes behind the late change are run on what the earlier change alone gave just before them.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.what_if.building import Built, Span
from qdebug.analysis.what_if.changes import Change
from qdebug.analysis.what_if.sessions import Opened
from qdebug.capture.once import Once

Array = npt.NDArray[Any]

LATE = 2
"""A change is near the end if it reaches one in so many nodes at most. By judgement: to run the
rest a second time is what is saved."""


@dataclass(frozen=True)
class Tail:
    """A change near the end that others will be tried on top of.

    Attributes:
        built: what its graph is like.
        opened: its session.
    """

    built: Built
    opened: Once[Opened]

    def before(self, front: Span) -> Collection[str] | None:
        """What it needs of an earlier change's run; None where one touches what the other does."""
        own = self.built.span
        if front.replaced & own.reads or front.needs & own.changed:
            return None
        return own.begins & front.changed


@dataclass(frozen=True)
class Front:
    """What an earlier change's run gave on one sample.

    Attributes:
        span: which tensors that change has to do with.
        values: arrays by quant tensor.
    """

    span: Span
    values: Mapping[str, Array]


class Tails:
    """Late changes, and what runs of earlier ones leave just before them.

    Args:
        budget: bytes that may be kept, of all samples together.
        kept: what the graph as it is gives, of any sample.
    """

    def __init__(self, budget: int, kept: Mapping[str, Array]) -> None:
        self._left, self._kept = budget, kept
        self._tails: list[Tail] = []
        self._fronts: dict[tuple[Hashable, int], Front] = {}
        self._keeping = threading.Lock()

    def expect(self, tail: Tail) -> None:
        """Be ready for changes on top of one."""
        if all(known.built.change.key != tail.built.change.key for known in self._tails):
            self._tails.append(tail)

    def wanted(self, front: Span) -> list[str]:
        """Tensors that a change's run shall give besides, for what may be tried behind it."""
        found: set[str] = set()
        for tail in self._tails:
            more = tail.before(front) or ()
            if self._bytes({*found, *more}) <= self._left:
                found.update(more)
        return sorted(found)

    def _bytes(self, names: Collection[str]) -> int:
        return sum(self._kept[name].nbytes for name in names)

    def keep(self, built: Built, number: int, found: Mapping[str, Array]) -> None:
        """Keep what a change's run gave for what may be tried behind it.

        Args:
            built: what its graph is like.
            number: of the sample.
            found: what its session gave.
        """
        size = self._bytes(built.ends)
        with self._keeping:
            if not built.ends or size > self._left:
                return
            self._left -= size
        # Copies: what a session gives lies in its arena.
        values = {name: np.array(found[name]) for name in built.ends}
        self._fronts[built.change.key, number] = Front(built.span, values)

    def composed(self, change: Change, number: int) -> tuple[Opened, Mapping[str, Array]] | None:
        """A late change's session and what it begins with, which together are the whole change.

        Args:
            change: what is done otherwise.
            number: of the sample.

        Returns:
            None where its parts cannot be run one after the other.
        """
        for tail in self._tails:
            earlier = change.without(tail.built.change)
            front = self._fronts.get((earlier.key, number)) if earlier is not None else None
            needed = tail.before(front.span) if front is not None else None
            if front is not None and needed is not None and front.values.keys() >= set(needed):
                return tail.opened.get(), front.values
        return None
