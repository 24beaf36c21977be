"""What a Dask worker is given once: the only module that needs Dask to be read."""

from __future__ import annotations

from distributed import Worker, WorkerPlugin

from qdebug.sharding.files import Contents, forget, keep


class WorkerFiles(WorkerPlugin):
    """Copies of files, from a worker's start or the sending on until the command ends.

    Args:
        key: by which work finds them.
        contents: theirs.
    """

    def __init__(self, key: str, contents: Contents) -> None:
        self._key, self._contents = key, contents

    def setup(self, worker: Worker) -> None:
        """Write them into the worker's own folder, which Dask clears even if the worker is killed.

        The memory is given back.
        """
        contents, self._contents = self._contents, {}
        keep(self._key, contents, worker.local_directory)

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002 - Dask's form
        """Remove them."""
        forget(self._key)
