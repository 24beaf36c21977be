"""Sessions of changed graphs: opened when they are first needed, by whichever thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from qdebug.analysis.what_if.building import Built
from qdebug.analysis.what_if.changes import Change
from qdebug.analysis.what_if.lanes import CANNOT
from qdebug.analysis.what_if.replacing import switch_of_tensor, switch_of_weights
from qdebug.analysis.what_if.switches import only_in_float
from qdebug.capture.session import Session

_T = TypeVar("_T")


class Once(Generic[_T]):
    """Something made when it is first asked for, by whichever thread.

    Args:
        make: makes it; asked again where it raised.
    """

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make, self._making = make, threading.Lock()
        self._made: list[_T] = []

    def get(self) -> _T:
        """It."""
        with self._making:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]


@dataclass(frozen=True)
class Opened:
    """A session in which a change is made, or may be.

    Attributes:
        session: to be run; None where all that is compared is known already.
        built: its graph.
        switched: whether each part of the change is made only where its switch is on.
    """

    session: Session | None
    built: Built
    switched: bool = False

    def switches(self, change: Change) -> dict[str, npt.NDArray[np.bool_]]:
        """What its switches are fed for a change, by model input."""
        if not self.switched:
            return {}
        whole = self.built.change
        free = {switch_of_tensor(at): at in change.free for at in whole.free}
        weights = {switch_of_weights(node): node in change.weights for node in whole.weights}
        return {name: np.array(is_on) for name, is_on in (free | weights).items()}


class Switched:
    """A session for several changes, opened when it is first needed.

    Args:
        changes: that can be made in it, and any part of all of them together.
    """

    def __init__(self, changes: Iterable[Change]) -> None:
        self.whole = Change()
        for change in changes:
            self.whole = change.on_top_of(self.whole)
        self._opening = threading.Lock()
        self._opened: Opened | None = None
        self._fails = False

    def covers(self, change: Change) -> bool:
        """Whether a change can be made in it."""
        inside = change.free <= self.whole.free and change.weights <= self.whole.weights
        return inside and only_in_float(change)

    def opened(self, opening: Callable[[Change], Opened]) -> Opened | None:
        """The session; None where it cannot be had.

        Args:
            opening: opens a session of a change, with switches.
        """
        with self._opening:
            if self._opened is None and not self._fails:
                try:
                    self._opened = opening(self.whole)
                except CANNOT:
                    self._fails = True
        return self._opened
