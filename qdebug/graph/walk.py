"""The one way to walk through a graph, whatever its places are: tensors, nodes, layers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

_Place = TypeVar("_Place", bound=Hashable)


def walk(start: Iterable[_Place], onward: Callable[[_Place], Iterable[_Place]]) -> Iterator[_Place]:
    """Every place that can be reached, each once, the nearest first; the start is among them.

    Args:
        start: where to begin, in order.
        onward: the places next to one; none where the walk shall end. Asked after the place was
            handed out, so that a walk which is given up early costs no more than it saw.
    """
    todo = deque(dict.fromkeys(start))
    seen = set(todo)
    while todo:
        place = todo.popleft()
        yield place
        for other in onward(place):
            if other not in seen:
                seen.add(other)
                todo.append(other)
