"""What is made when it is first needed, by whichever thread comes first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Once(Generic[_T]):
    """Something made when it is first asked for; other threads that ask meanwhile wait for it.

    Args:
        make: makes it; asked again where it raised.
    """

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make, self._making = make, threading.Lock()
        self._made: list[_T] = []

    @property
    def is_made(self) -> bool:
        """Whether it is there."""
        return bool(self._made)

    def get(self) -> _T:
        """It."""
        with self._making:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]

    def drop(self) -> None:
        """Release it; it is made anew where it is asked for again."""
        self._made.clear()
