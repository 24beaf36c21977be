"""How long work tells its caller where it stands, without knowing how that is shown."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of one comparison. Called from one thread."""

    def stage(self, title: str, total: int | None = None) -> None:
        """A new stage begins; ``total`` is its number of steps where that is known."""

    def advance(self, steps: int = 1) -> None:
        """Some steps of the current stage are done."""

    def note(self, message: str) -> None:
        """A detail for ``-v``, one sentence."""


class Silent:
    """Shows nothing."""

    def stage(self, title: str, total: int | None = None) -> None:
        """Ignore."""

    def advance(self, steps: int = 1) -> None:
        """Ignore."""

    def note(self, message: str) -> None:
        """Ignore."""
