"""Processes on this machine."""

from __future__ import annotations

import itertools
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from qdebug.bounds import bound, set_bound
from qdebug.errors import UsageError
from qdebug.sharding.files import Sent
from qdebug.sharding.shards import Work

_ATTEMPTS = 3
"""How often workers may die before the work is given up: once is an accident (a memory limit)."""
_AHEAD = 2
"""Shards that are handed over for each worker: the one it does, and its next."""
_POLL_S = 0.5
"""How long a signal waits at most until it is heard."""


class Processes:
    """A pool of processes; shards of a worker that dies are run again by new ones.

    The processes stay for the next work: what they have opened is open still.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop(kill=error[0] is not None)

    def sees(self, path: Path) -> bool:  # noqa: ARG002 - one machine has one file system
        """Always."""
        return True

    def send(self, paths: Sequence[Path]) -> Sent:  # noqa: ARG002 - nothing needs to be sent
        """None."""
        return Sent()

    def run(self, work: Work, shards: Sequence[Sequence[Any]]) -> Iterator[tuple[int, list[Any]]]:
        """As they are done.

        Raises:
            UsageError: workers died several times.
        """
        left = dict(enumerate(shards))
        attempts = 0
        while left:
            if attempts == _ATTEMPTS:
                raise UsageError(
                    f"worker processes ended {_ATTEMPTS} times before their work was done",
                    "fewer --workers need less memory; a model may crash ONNX Runtime, too",
                )
            attempts += 1
            try:
                for number, results in self._once(work, dict(left)):
                    del left[number]
                    yield number, results
            except BrokenProcessPool:
                self._stop(kill=True)

    def _once(self, work: Work, left: dict[int, Sequence[Any]]) -> Iterator[tuple[int, list[Any]]]:
        pool, coming = self._started(), iter(left.items())
        running: dict[Future[list[Any]], int] = {}
        while True:
            # No more at once than keeps all busy: nobody may want the rest any more.
            for number, shard in itertools.islice(coming, _AHEAD * self.workers - len(running)):
                running[pool.submit(work, shard)] = number
            if not running:
                return
            done, _ = wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # A forked process would inherit ONNX Runtime's locks without its threads.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(
                self.workers, mp_context=context, initializer=_begin, initargs=(bound(),)
            )
        return self._pool

    def _stop(self, kill: bool) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        processes = list((getattr(pool, "_processes", None) or {}).values()) if kill else []
        pool.shutdown(wait=not kill, cancel_futures=True)
        for process in processes:
            process.kill()


def _begin(at_most: int) -> None:
    """A worker's first act: Ctrl-C reaches the whole group, and the parent ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_bound(at_most)
