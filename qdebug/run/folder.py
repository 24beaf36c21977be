"""Writing a folder of files so that it is there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from qdebug.errors import RunError, UsageError

_PARTIAL = ".partial"
_OLD = ".old"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_Writer = TypeVar("_Writer", bound="FolderWriter")


class FolderWriter:
    """Collects files beside their destination and moves them there in one step.

    Use as a context manager; leaving it without ``move_into_place`` removes everything written so
    far. A process that is killed leaves only a folder ``.NAME.PID.partial``, which the next writer
    of that name removes.

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
        self.root = destination.with_name(f".{destination.name}.{os.getpid()}{_PARTIAL}")

    def __enter__(self: _Writer) -> _Writer:
        try:
            self.destination.parent.mkdir(parents=True, exist_ok=True)
            _clear_leftovers(self.destination)
            self._check_destination()
            self.root.mkdir()
        except OSError as error:
            raise _write_error(self.destination, error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        if isinstance(error, OSError):
            raise _write_error(self.destination, error) from error

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
        old = self.destination.with_name(f".{self.destination.name}.{os.getpid()}{_OLD}")
        if self.destination.exists():
            self.destination.rename(old)
        try:
            self.root.rename(self.destination)
        except OSError:
            with contextlib.suppress(OSError):
                old.rename(self.destination)
            raise
        shutil.rmtree(old, ignore_errors=True)

    def _check_destination(self) -> None:
        if not self.destination.exists():
            return
        if not (self.destination / self._marker).is_file():
            raise UsageError(
                f"{self.destination} exists and is not {self._what}", "choose another -o"
            )
        if not self.force:
            raise UsageError(f"{self.destination} exists already", "use --force to replace it")


def _clear_leftovers(destination: Path) -> None:
    """Remove what killed processes left of this run, and put back a run they had moved aside."""
    for leftover in destination.parent.glob(f".{glob.escape(destination.name)}.*"):
        if not _is_abandoned(leftover, destination.name):
            continue
        if leftover.suffix == _OLD and not destination.exists():
            leftover.rename(destination)
        else:
            shutil.rmtree(leftover, ignore_errors=True)


def _is_abandoned(leftover: Path, name: str) -> bool:
    if leftover.suffix not in (_PARTIAL, _OLD):
        return False
    pid = leftover.name[len(name) + 2 : -len(leftover.suffix)]
    return pid.isdecimal() and (int(pid) == os.getpid() or not _is_alive(int(pid)))


def _is_alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # os.kill would end the process there
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _write_error(destination: Path, error: OSError) -> RunError:
    reason = error.strerror or str(error)
    hint = "free some space or choose another -o" if error.errno in _FULL else "choose another -o"
    return RunError(f"cannot write {destination}: {reason}", hint)
