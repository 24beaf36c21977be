"""Who runs the shards, from what the options say."""

from __future__ import annotations

from qdebug.processors import processors
from qdebug.sharding.cluster import Cluster
from qdebug.sharding.shards import InProcess, Scheduler


def choose_scheduler(workers: int, address: str | None) -> Scheduler:
    """A cluster where an address is given, else processes, or this one alone.

    Args:
        workers: processes on this machine.
        address: of a Dask scheduler.
    """
    if address is not None:
        return Cluster(address)
    if workers <= 1:
        return InProcess()
    from qdebug.sharding.local import Processes  # here, since it loads multiprocessing

    return Processes(workers)


def threads_each(threads: int | None, workers: int) -> int:
    """Threads of ONNX Runtime in each of several processes on this machine."""
    return threads or max(1, processors() // max(workers, 1))
