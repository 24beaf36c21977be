"""Sessions of changed graphs: opened when they are first needed, by whichever thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdebug.analysis.what_if.building import Built
from qdebug.analysis.what_if.changes import Change
from qdebug.analysis.what_if.lanes import CANNOT
from qdebug.analysis.what_if.replacing import switch_of_tensor, switch_of_weights
from qdebug.analysis.what_if.switches import only_in_float
from qdebug.capture.once import Once
from qdebug.capture.session import Session


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
        opening: opens a session of a change, with switches.
    """

    def __init__(self, changes: Iterable[Change], opening: Callable[[Change], Opened]) -> None:
        self.whole = Change()
        for change in changes:
            self.whole = change.on_top_of(self.whole)
        self._opening = opening
        self._session = Once(self._open)

    def covers(self, change: Change) -> bool:
        """Whether a change can be made in it."""
        inside = change.free <= self.whole.free and change.weights <= self.whole.weights
        return inside and only_in_float(change)

    @property
    def opened(self) -> Opened | None:
        """The session; None where it cannot be had."""
        return self._session.get()

    def _open(self) -> Opened | None:
        try:
            return self._opening(self.whole)
        except CANNOT:
            return None
