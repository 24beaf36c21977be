"""Files that workers cannot see: they travel with the work."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qdebug.errors import UsageError

Contents = Mapping[Path, bytes]
"""Content of files by their path here."""


class Unpacked:
    """Copies of files that came along, as long as this object is there.

    Args:
        contents: of the files.
        folder: where they lie; that of temporary files by default.
    """

    def __init__(self, contents: Contents, folder: str | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="qdebug-", dir=folder)
        self.places: dict[Path, Path] = {}
        root = Path(self._folder.name)
        for path, content in contents.items():
            # Files of one folder stay together: a model finds its weights beside it.
            beside = root / hashlib.sha256(str(path.parent).encode()).hexdigest()[:16]
            beside.mkdir(exist_ok=True)
            self.places[path] = beside / path.name
            self.places[path].write_bytes(content)

    def close(self) -> None:
        """Remove the copies."""
        self._folder.cleanup()

    def __enter__(self) -> Unpacked:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Sent:
    """Files that every worker was given before its work; plain data that travels with the work.

    Attributes:
        key: tells them from those of another command; empty where workers see all files.
    """

    key: str = ""

    @property
    def places(self) -> Mapping[Path, Path]:
        """Where this process has the copies, by the path of the file.

        Raises:
            UsageError: they did not arrive.
        """
        if not self.key:
            return {}
        if not _KEPT.get(self.key):
            raise UsageError(
                "a worker lacks the files that were sent to it",
                "its log says why; no room for temporary files is the usual reason",
            )
        return _KEPT[self.key][0].places


_KEPT: dict[str, list[Unpacked]] = {}
"""Copies in this process: one for each of its workers, mostly one."""


def keep(key: str, contents: Contents, folder: str | None = None) -> None:
    """Unpack files where work of this process finds them, until they are forgotten."""
    _KEPT.setdefault(key, []).append(Unpacked(contents, folder))


def forget(key: str) -> None:
    """Remove one copy again."""
    copies = _KEPT[key]
    copies.pop().close()
    if not copies:
        del _KEPT[key]
