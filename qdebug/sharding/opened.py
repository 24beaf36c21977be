"""What a worker process keeps open between its shards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """Something that gives back what it holds."""

    def close(self) -> None:
        """Give it back."""


_Kept = TypeVar("_Kept", bound=Closable)


class Opened(Generic[_Kept]):
    """The models of one piece of work; those of the next take their place."""

    def __init__(self) -> None:
        self._key = ""
        self._kept: _Kept | None = None

    def get(self, key: str, make: Callable[[], _Kept]) -> _Kept:
        """What is open for a piece of work, made where it is not.

        Args:
            key: tells one piece of work from another.
            make: opens it.
        """
        if self._kept is None or self._key != key:
            if self._kept is not None:
                self._kept.close()
            self._key, self._kept = key, make()
        return self._kept
