"""Writing a folder of files so that it is there whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from qdebug.errors import RunError, UsageError
from qdebug.interrupts import held
from qdebug.run.atomic import Claim, clear_leftovers, put_in_place, sync_tree

_FULL = (errno.ENOSPC, errno.EDQUOT)
_Writer = TypeVar("_Writer", bound="FolderWriter")


class FolderWriter:
    """Collects files beside their destination and moves them there in one step.

    Use as a context manager; leaving it without ``move_into_place`` removes everything written so
    far. A process that is killed leaves only a folder ``.NAME.TOKEN.partial``, which the next
    writer of that name removes.

    Args:
        destination: the folder to make.
        marker: a file that tells such a folder from any other; no other is ever replaced.
        what: what such a folder is, with its article.
        force: replace one that is already there.

    Raises:
        UsageError: the destination exists and ``force`` is false, or is something else.
        RunError: the folder cannot be written.
    """

    def __init__(self, destination: Path, *, marker: str, what: str, force: bool = False) -> None:
        self.destination = destination
        self.force = force
        self._marker, self._what = marker, what
        self._check_destination()
        self._claim: Claim | None = None

    def __enter__(self: _Writer) -> _Writer:
        try:
            self.destination.parent.mkdir(parents=True, exist_ok=True)
            clear_leftovers(self.destination)
            self._check_destination()
            with held(""):
                self._claim = Claim(self.destination)
        except OSError as error:
            raise _write_error(self.destination, error) from error
        except KeyboardInterrupt:  # it has arrived while the claim was made
            self._release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release()
        if isinstance(error, OSError):
            raise _write_error(self.destination, error) from error

    def _release(self) -> None:
        if self._claim is not None:
            self._claim.release()
            self._claim = None

    @property
    def root(self) -> Path:
        """The folder that is being written; only inside the context."""
        if self._claim is None:
            raise RuntimeError("a folder is written inside its context only")
        return self._claim.folder

    def path(self, name: str) -> Path:
        """Path for a file of the folder, its own folder made."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def add(self, name: str, content: bytes) -> None:
        """Write one file."""
        self.path(name).write_bytes(content)

    def move_into_place(self) -> None:
        """Move what was written to its destination.

        Raises:
            UsageError: something has appeared at the destination meanwhile and ``force`` is false.
        """
        self._check_destination()
        sync_tree(self.root)  # may take long, and may be interrupted
        with held(f"{self.destination} was written"):
            put_in_place(self.root, self.destination)

    def _check_destination(self) -> None:
        if not self.destination.exists():
            return
        if not (self.destination / self._marker).is_file():
            raise UsageError(
                f"{self.destination} exists and is not {self._what}", "choose another -o"
            )
        if not self.force:
            raise UsageError(f"{self.destination} exists already", "use --force to replace it")


def _write_error(destination: Path, error: OSError) -> RunError:
    reason = error.strerror or str(error)
    hint = "free some space or choose another -o" if error.errno in _FULL else "choose another -o"
    return RunError(f"cannot write {destination}: {reason}", hint)
