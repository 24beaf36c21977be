"""What a worker process keeps open between its shards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

_Kept = TypeVar("_Kept")


class Opened(Generic[_Kept]):
    """The models of one piece of work; those of the next take their place.

    Args:
        close: gives back what they hold besides memory.
    """

    def __init__(self, close: Callable[[_Kept], None] | None = None) -> None:
        self._close = close
        self._key = ""
        self._kept: _Kept | None = None

    def get(self, key: str, make: Callable[[], _Kept]) -> _Kept:
        """What is open for a piece of work, made where it is not.

        Args:
            key: tells one piece of work from another.
            make: opens it.
        """
        if self._kept is None or self._key != key:
            self._drop()
            self._key, self._kept = key, make()
        return self._kept

    def adopt(self, key: str, kept: _Kept) -> None:
        """Use what is open already."""
        self._drop()
        self._key, self._kept = key, kept

    def _drop(self) -> None:
        """Before others are opened, so that both are never held at once."""
        kept, self._kept = self._kept, None
        if kept is not None and self._close is not None:
            self._close(kept)
