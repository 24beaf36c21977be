"""Threads that run changes: samples go to whichever has time, those that are waited for first."""

from __future__ import annotations

import enum
import itertools
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from qdebug.analysis.what_if.changes import Alone, Change
from qdebug.errors import QdebugError

CANNOT = (QdebugError, KeyError, ValueError)
"""What is raised where a change cannot be made or run."""


class Urgency(enum.IntEnum):
    """Which work comes first: what is asked for, a share in it, what will be asked for."""

    ASKED = 0
    SHARED = 1
    AHEAD = 2


class Lanes:
    """Threads beside the asking one, which take up the most urgent work first.

    Args:
        count: how many; 0 where the asking thread does everything.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ThreadPoolExecutor | None = None
        self._order = itertools.count()
        self._waiting: queue.PriorityQueue[_Waiting] = queue.PriorityQueue()

    def submit(self, work: Callable[[], None], urgency: Urgency) -> Future[None]:
        """Let another thread do some work when it has time."""
        future: Future[None] = Future()
        self._waiting.put((urgency, next(self._order), future, work))
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.count, "qdebug-what-if")
        self._pool.submit(self._do_next)
        return future

    def _do_next(self) -> None:
        *_, future, work = self._waiting.get_nowait()
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work())
        except BaseException as error:  # for who waits
            future.set_exception(error)

    def close(self) -> None:
        """Drop what waits, and wait for what runs."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None
        while not self._waiting.empty():
            *_, future, _ = self._waiting.get_nowait()
            future.cancel()


_Waiting = tuple[Urgency, int, Future[None], Callable[[], None]]
"""Work in its order, and the future of who waits for it."""


class Trial:
    """One change on some samples, which any number of threads may work on.

    Args:
        change: what is done otherwise.
        numbers: of the samples, in the order in which they are to be run.
        run: runs the change on a sample by its number, in any thread.
        is_enough: whether what was found makes further samples needless.

    Attributes:
        found: error at the outputs, by sample.
        failed: samples on which the change cannot be made or run.
    """

    def __init__(
        self,
        change: Change,
        numbers: Sequence[int],
        run: Callable[[int], Alone],
        is_enough: Callable[[dict[int, Alone]], bool] | None = None,
    ) -> None:
        self.change, self.numbers = change, numbers
        self.found: dict[int, Alone] = {}
        self.failed: set[int] = set()
        self._run, self._is_enough = run, is_enough
        self._left = deque(numbers)
        self._taking = threading.Lock()
        self._others: list[Future[None]] = []

    def begin(self, lanes: Lanes, urgency: Urgency) -> None:
        """Let another thread run it when it has time."""
        self._others.append(lanes.submit(self._work, urgency))

    def finish(self, lanes: Lanes) -> None:
        """Run what no other thread has begun with, with their help, and wait for them.

        Raises:
            Exception: one that does not tell that the change cannot be made; no sample is begun
                after.
        """
        try:
            for _ in range(min(lanes.count, len(self._left) - 1)):
                self.begin(lanes, Urgency.SHARED)
            self._work()
            for other in self._others:
                if not other.cancel():
                    other.result()
        finally:
            self.stop()

    def stop(self) -> None:
        """Begin with no further sample."""
        with self._taking:
            self._left.clear()

    def _work(self) -> None:
        while (number := self._next()) is not None:
            self._try(number)

    def _try(self, number: int) -> None:
        try:
            self.found[number] = self._run(number)
        except CANNOT:
            self.failed.add(number)

    def _next(self) -> int | None:
        with self._taking:
            if self.failed or (self._is_enough is not None and self._is_enough(dict(self.found))):
                self._left.clear()
            return self._left.popleft() if self._left else None
