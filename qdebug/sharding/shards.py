"""Shards, and who runs them."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from qdebug import interrupts
from qdebug.progress import Progress
from qdebug.sharding.files import Sent

SHARD_ITEMS = 16
"""Items of a shard, at most: a lost worker costs no more than these, and the progress moves."""
SHARDS_EACH = 4
"""Shards a worker, at least, so that none waits long for the slowest."""


class Work(Protocol):
    """What is done with the items of a shard; travels to other processes, so it is picklable."""

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        """One result for each item."""


class Scheduler(Protocol):
    """Who runs shards."""

    def __enter__(self) -> Scheduler:
        """Get ready."""

    def __exit__(self, *error: object) -> None:
        """Stop whatever still runs."""

    @property
    def workers(self) -> int:
        """How many shards go on at once."""

    def sees(self, path: Path) -> bool:
        """Whether every worker finds that file where this process does; only inside the context."""

    def send(self, paths: Sequence[Path]) -> Sent:
        """Give every worker those files that it does not see, once; only inside the context."""

    def run(self, work: Work, shards: Sequence[Sequence[Any]]) -> Iterator[tuple[int, list[Any]]]:
        """Results by the number of their shard, in any order.

        Raises:
            QdebugError: the work cannot be done, or workers are lost again and again.
        """


class InProcess:
    """Runs the shards here, one after the other."""

    workers = 1

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def sees(self, path: Path) -> bool:  # noqa: ARG002 - it is this process that looks
        """Always."""
        return True

    def send(self, paths: Sequence[Path]) -> Sent:  # noqa: ARG002 - nothing needs to be sent
        """None."""
        return Sent()

    def run(self, work: Work, shards: Sequence[Sequence[Any]]) -> Iterator[tuple[int, list[Any]]]:
        """In order."""
        for number, shard in enumerate(shards):
            yield number, work(shard)


def shards_of(items: Sequence[Any], workers: int) -> list[Sequence[Any]]:
    """Cut items into shards of nearly equal size, in order."""
    count = max(-(-len(items) // SHARD_ITEMS), min(len(items), workers * SHARDS_EACH), 1)
    bounds = [at * len(items) // count for at in range(count + 1)]
    return [items[low:high] for low, high in pairwise(bounds)]


def run_shards(
    work: Work, items: Sequence[Any], scheduler: Scheduler, progress: Progress
) -> list[Any]:
    """Do the work on all items.

    Args:
        work: for one shard.
        items: what it is done with.
        scheduler: who does it, ready.
        progress: told an item at a time.

    Returns:
        One result an item, in their order.
    """
    found = []
    for result in in_order(work, items, scheduler):
        found.append(result)
        progress.advance()
    return found


def in_order(work: Work, items: Sequence[Any], scheduler: Scheduler) -> Generator[Any, None, None]:
    """The result of each item, in their order, as soon as all before it are there.

    Args:
        work: for one shard.
        items: what it is done with.
        scheduler: who does it, ready.
    """
    waiting: dict[int, list[Any]] = {}
    due = 0
    for number, results in scheduler.run(work, shards_of(items, scheduler.workers)):
        interrupts.check()
        waiting[number] = results
        while due in waiting:
            yield from waiting.pop(due)
            due += 1
