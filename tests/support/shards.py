"""Schedulers of the tests: they cut and hand back as none else would, or lose a worker."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdebug.sharding.cluster import Cluster
from qdebug.sharding.files import Sent, forget, keep
from qdebug.sharding.shards import InProcess


class Shards(InProcess):
    """Cuts the work into so many shards and hands them back in the wrong order."""

    def __init__(self, count: int) -> None:
        self.count = count

    def run(self, work: Any, shards: Any) -> Iterator[tuple[int, list[Any]]]:
        items = [item for shard in shards for item in shard]
        bounds = [at * len(items) // self.count for at in range(self.count + 1)]
        cut = [items[bounds[at] : bounds[at + 1]] for at in range(self.count)]
        whole = [work(part) for part in reversed(cut)][::-1]
        results = [result for part in whole for result in part]
        start = 0
        numbered = []
        for number, shard in enumerate(shards):
            numbered.append((number, results[start : start + len(shard)]))
            start += len(shard)
        yield from reversed(numbered)


class Blind(InProcess):
    """Workers that see no file of this machine."""

    def __init__(self) -> None:
        self.sent: list[list[Path]] = []

    def __exit__(self, *error: object) -> None:
        for at in range(len(self.sent)):
            forget(f"blind-{id(self)}-{at}")

    def sees(self, path: Path) -> bool:
        return False

    def send(self, paths: Sequence[Path]) -> Sent:
        key = f"blind-{id(self)}-{len(self.sent)}"
        self.sent.append(list(paths))
        keep(key, {path: path.read_bytes() for path in paths})
        return Sent(key)


@dataclass(frozen=True)
class DeadlyWork:
    """Some work; the first process that begins it dies, once."""

    work: Any
    mark: Path

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        results: list[Any] = self.work(items)
        return results


class Deadly(Cluster):
    """A cluster that sees no file of this machine and loses a worker in its first work."""

    def __init__(self, address: str, mark: Path) -> None:
        super().__init__(address)
        self._mark = mark

    def sees(self, path: Path) -> bool:
        return False

    def run(self, work: Any, shards: Any) -> Iterator[tuple[int, list[Any]]]:
        yield from super().run(DeadlyWork(work, self._mark), shards)


@contextlib.contextmanager
def two_dask_workers() -> Iterator[str]:
    """The address of a real Dask cluster of two processes."""
    import dask
    import distributed

    make: Any = distributed.LocalCluster
    asked = {"n_workers": 2, "threads_per_worker": 2, "processes": True, "dashboard_address": None}
    # Spare copies are taken away at once, so that a worker that dies may have held the only one.
    often = {"distributed.scheduler.active-memory-manager.interval": "50ms"}
    with dask.config.set(often), make(**asked) as cluster:
        yield cluster.scheduler_address
