"""A Dask cluster that runs already; see https://distributed.dask.org."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qdebug.errors import QdebugError, UsageError
from qdebug.sharding.files import Sent
from qdebug.sharding.shards import Work

_RETRIES = 3
"""How often a shard is given to another worker when one is lost."""
_TIMEOUT_S = 10


class Cluster:
    """Workers of a Dask cluster.

    Args:
        address: of its scheduler, for instance ``tcp://host:8786``.

    Raises:
        UsageError: Dask is not installed, or nobody answers there.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._client: Any = None
        self._sent: list[Sent] = []

    def __enter__(self) -> Cluster:
        try:
            import distributed
        except ImportError as error:
            raise UsageError("--scheduler needs Dask", 'pip install "qdebug[cluster]"') from error
        try:
            client: Any = distributed.Client
            self._client = client(
                self._address, timeout=_TIMEOUT_S, set_as_default=False, direct_to_workers=False
            )
        except (OSError, TimeoutError, ValueError) as error:
            raise UsageError(
                f"--scheduler: no Dask scheduler answers at {self._address}",
                "start one: dask scheduler, and dask worker ADDRESS on every machine",
            ) from error
        return self

    def __exit__(self, *error: object) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        with contextlib.suppress(OSError):  # the scheduler is gone, and the files with the workers
            for sent in self._sent:
                client.unregister_worker_plugin(sent.key)
        client.close(timeout=_TIMEOUT_S)

    @property
    def workers(self) -> int:
        """Threads of all workers; one session a thread would be too many, so one a worker."""
        found = len(self._client.scheduler_info(n_workers=-1)["workers"])
        if not found:
            raise UsageError(
                f"the Dask cluster at {self._address} has no worker",
                f"start some: dask worker {self._address}",
            )
        return found

    def sees(self, path: Path) -> bool:
        """Whether the file is where it is here, for every worker, and as long."""
        size = path.stat().st_size
        return all(found == size for found in self._client.run(_size_of, str(path)).values())

    def send(self, paths: Sequence[Path]) -> Sent:
        """As a plugin, which Dask gives to workers that come later, too.

        Raises:
            UsageError: a worker has no room for them.
        """
        contents = {path: path.read_bytes() for path in paths if not self.sees(path)}
        if not contents:
            return Sent()
        from qdebug.sharding.worker_files import WorkerFiles

        sent = Sent(f"qdebug-{uuid.uuid4().hex}")
        self._sent.append(sent)
        try:
            self._client.register_plugin(WorkerFiles(sent.key, contents), name=sent.key)
        except OSError as error:
            raise UsageError(
                f"the Dask cluster at {self._address} could not be given the models: {error}",
                "give workers room for temporary files, or put the models where they see them",
            ) from error
        return sent

    def run(self, work: Work, shards: Sequence[Sequence[Any]]) -> Iterator[tuple[int, list[Any]]]:
        """As they are done; shards of a lost worker are given to another one.

        Raises:
            QdebugError: what the work raised, or the workers were lost again and again.
        """
        left = dict(enumerate(shards))
        for _ in range(_RETRIES + 1):
            for number, results in self._once(work, dict(left)):
                del left[number]
                yield number, results
            if not left:
                return
        raise UsageError(
            f"the Dask cluster at {self._address} lost its workers again and again",
            "their logs say why; a limit on memory is the usual reason",
        )

    def _once(self, work: Work, left: dict[int, Sequence[Any]]) -> Iterator[tuple[int, list[Any]]]:
        """The shards but those that are lost with a worker which alone held the work.

        Every worker is given the work, but Dask takes spare copies away again after a while.
        """
        import distributed

        completed: Any = distributed.as_completed
        try:  # without a hash: what was lost once would be known by it, and stay lost
            shared = self._client.scatter(work, broadcast=True, hash=False)
        except TimeoutError:  # no worker is there at the moment
            return
        futures = {
            self._client.submit(_work_on, shared, shard, retries=_RETRIES, pure=False): number
            for number, shard in left.items()
        }
        try:
            for future, outcome in completed(
                futures, loop=self._client.loop, with_results=True, raise_errors=False
            ):
                if future.status == "error":
                    raise self._explained(outcome[1])
                if future.status == "finished":
                    yield futures[future], outcome
        finally:
            self._client.cancel(list(futures))

    def _explained(self, error: BaseException) -> BaseException:
        if isinstance(error, QdebugError):
            return error
        return UsageError(
            f"the Dask cluster could not do the work: {type(error).__name__}: {error}",
            "its workers need the same version of qdebug",
        )


def _size_of(path: str) -> int | None:
    place = Path(path)
    return place.stat().st_size if place.is_file() else None


_TURN = threading.Lock()
"""A Dask worker has a thread a processor, and what work keeps open is its process's: threads take
turns. ONNX Runtime has threads of its own."""


def _work_on(work: Work, shard: Sequence[Any]) -> list[Any]:
    with _TURN:
        return work(shard)
