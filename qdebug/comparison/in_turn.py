"""Work that goes on beside the runs of the models, one piece after the other."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec

_P = ParamSpec("_P")


@contextlib.contextmanager
def work_ahead() -> Iterator[ThreadPoolExecutor]:
    """One thread for what will be needed; after an error what it has not begun is dropped."""
    pool = ThreadPoolExecutor(1, "qdebug-ahead")
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown(wait=True)


class InTurn:
    """Does pieces of work in one thread, in the order they are given.

    ONNX Runtime leaves processors idle between the operators of a small network, and Python's lock
    while it runs: pictures and answers are looked at meanwhile. Leaving the context waits for all
    that was given; what one of them raised is raised there or by ``finish``.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "qdebug-beside")
        self._given: deque[Future[object]] = deque()

    def __enter__(self) -> InTurn:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=error is not None)
        if error is None:
            self.finish()

    def do(self, work: Callable[_P, object], /, *arguments: _P.args, **named: _P.kwargs) -> None:
        """Do a piece of work after those before it."""
        self._given.append(self._pool.submit(work, *arguments, **named))

    def finish(self) -> None:
        """Wait for all that was given.

        Raises:
            Exception: what the first piece that failed has raised.
        """
        while self._given:
            self._given.popleft().result()
