"""Files that workers cannot see: they travel with the work."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from qdebug.sharding.shards import Scheduler

Contents = Mapping[Path, bytes]
"""Content of files by their path here."""


def hidden_files(paths: Sequence[Path], scheduler: Scheduler) -> dict[Path, bytes]:
    """The content of those files that some worker does not see."""
    return {path: path.read_bytes() for path in paths if not scheduler.sees(path)}


class Unpacked:
    """Copies of files that came along, as long as this object is there."""

    def __init__(self, contents: Contents) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="qdebug-")
        self.places: dict[Path, Path] = {}
        root = Path(self._folder.name)
        for path, content in contents.items():
            # Files of one folder stay together: a model finds its weights beside it.
            folder = root / hashlib.sha256(str(path.parent).encode()).hexdigest()[:16]
            folder.mkdir(exist_ok=True)
            self.places[path] = folder / path.name
            self.places[path].write_bytes(content)

    def close(self) -> None:
        """Remove the copies."""
        self._folder.cleanup()

    def __enter__(self) -> Unpacked:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
