"""Files and folders that are there whole or not at all, also after a kill or a power cut.

What is being written stands under a name of its own beside its destination,
``.NAME.TOKEN.partial``, and gets its name in one step, after everything is on the disk.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import glob
import hashlib
import os
import platform
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

if TYPE_CHECKING:
    from filelock import FileLock

PARTIAL, OLD, LOCK = ".partial", ".old", ".lock"
_LONGEST = 80
"""Characters of a name that are repeated in a temporary one: file systems end at 255 bytes."""
_STALE_S = 24 * 3600.0
"""A folder that nobody has touched for so long is abandoned, where a lock does not tell (by
judgement: no measurement of one night is taken for dead)."""
_STALE_FILE_S = 3600.0
"""The same for a single file of another machine, which takes seconds to write."""
_AT_FDCWD, _LINUX_EXCHANGE, _MAC_SWAP = -100, 2, 2


def temporary(destination: Path, kind: str = PARTIAL) -> Path:
    """A name beside a destination that no other process has; it begins with a mark of this host."""
    token = f"{_host()}-{secrets.token_hex(4)}"
    return destination.with_name(f".{destination.name[:_LONGEST]}.{token}{kind}")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file by way of a temporary one; it is on the disk before it gets its name.

    What killed processes left of the same file is removed.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in _leftovers(path, PARTIAL):
        if leftover.is_file() and _is_ours(leftover):
            _remove_abandoned(leftover)
    partial, held = _begun(path)
    try:
        with partial.open("r+b") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    finally:
        held.close()
    sync_folder(path.parent)


def _begun(path: Path) -> tuple[Path, contextlib.ExitStack]:
    """A new temporary file, and what holds it until it has its name.

    The system frees the hold when a process ends, however it ends.
    """
    while True:
        partial = temporary(path)
        partial.touch(exist_ok=False)
        held = contextlib.ExitStack()
        if fcntl is None:  # Windows removes no file that is open
            return partial, held
        descriptor = held.enter_context(_opened(partial))
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return partial, held
        held.close()  # taken for abandoned before it was held


def _remove_abandoned(leftover: Path) -> None:
    """Remove a temporary file that no process of this machine holds, or that is an hour old."""
    with contextlib.suppress(OSError), contextlib.ExitStack() as held:
        if fcntl is not None and _is_from_here(leftover):
            descriptor = held.enter_context(_opened(leftover))
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif _age_s(leftover) <= _STALE_FILE_S:
            return
        leftover.unlink(missing_ok=True)


class Claim:
    """A folder to be written, and a lock beside it that tells others that its writer lives.

    The operating system frees the lock when a process ends, however it ends. It holds across
    containers on one machine, and across machines where the file system supports it; a folder of
    another machine counts as alive until nobody has touched it for a day.

    Args:
        destination: what the folder will become.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, destination: Path) -> None:
        self.folder = temporary(destination)
        self._lock = _file_lock(self.folder.with_suffix(LOCK))
        with contextlib.suppress(NotImplementedError):  # a file system without locks
            self._lock.acquire(timeout=0)
        try:
            self.folder.mkdir()
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Remove the folder, or what an exchange has put in its place, and the lock."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()
        self.folder.with_suffix(LOCK).unlink(missing_ok=True)


def clear_leftovers(destination: Path) -> None:
    """Remove what killed processes left of a folder, and put back one that was moved aside.

    Only what this user owns is ever removed; in doubt its writer still lives.
    """
    for old in _leftovers(destination, OLD):
        if not destination.exists():
            old.rename(destination)
        elif _is_ours(old):
            shutil.rmtree(old, ignore_errors=True)
    for lock in _leftovers(destination, LOCK):
        folder = lock.with_suffix(PARTIAL)
        if _is_ours(lock) and _was_freed(lock, folder):
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
    for folder in _leftovers(destination, PARTIAL):
        if not folder.with_suffix(LOCK).exists() and _is_ours(folder) and _is_stale(folder):
            shutil.rmtree(folder, ignore_errors=True)


def moved_aside(destination: Path) -> Path | None:
    """What stood at a destination when its replacement was killed half way, else None."""
    return max(_leftovers(destination, OLD), key=_age_s, default=None)


def _leftovers(destination: Path, kind: str) -> list[Path]:
    pattern = f".{glob.escape(destination.name[:_LONGEST])}.*{kind}"
    return sorted(destination.parent.glob(pattern))


def _file_lock(path: Path) -> FileLock:
    from filelock import FileLock

    return FileLock(path)


def _was_freed(lock: Path, folder: Path) -> bool:
    """Whether the writer that held a lock has ended."""
    from filelock import Timeout

    attempt = _file_lock(lock)
    try:
        attempt.acquire(timeout=0)
    except (Timeout, NotImplementedError, OSError):
        return False
    attempt.release()
    return _is_from_here(lock) or not folder.exists() or _is_stale(folder)


def _is_from_here(temporary: Path) -> bool:
    """Whether a process of this machine, since its start, has made it."""
    return f".{_host()}-" in temporary.name


@functools.cache
def _host() -> str:
    """Tells this machine, since its start, from others: six hexadecimal digits."""
    name = platform.node()
    with contextlib.suppress(OSError):  # the same in all containers of one machine
        name = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    return hashlib.sha256(name.encode()).hexdigest()[:6]


def _is_stale(path: Path) -> bool:
    return min(map(_age_s, [path, *path.rglob("*")])) > _STALE_S


def _age_s(path: Path) -> float:
    return time.time() - path.lstat().st_mtime


def _is_ours(path: Path) -> bool:
    return not hasattr(os, "getuid") or path.lstat().st_uid == os.getuid()


def put_in_place(folder: Path, destination: Path) -> None:
    """Move a finished folder to its destination, in one step where the system has one.

    What is in it has to be on the disk before; see ``sync_tree``.

    A folder that was there takes the place of the finished one. Where the system cannot exchange
    two, it is moved aside first; a kill in between leaves it as ``.NAME.TOKEN.old``, which
    ``moved_aside`` finds.

    Raises:
        OSError: it cannot be moved; what was there is still there.
    """
    if not destination.exists():
        folder.rename(destination)
    elif not exchange(folder, destination):
        _replace_in_two_steps(folder, destination)
    sync_folder(destination.parent)


def _replace_in_two_steps(folder: Path, destination: Path) -> None:
    old = temporary(destination, OLD)
    destination.rename(old)
    try:
        folder.rename(destination)
    except OSError:
        old.rename(destination)
        raise
    shutil.rmtree(old, ignore_errors=True)


def exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step. False where the system cannot; nothing happened.

    Linux: ``renameat2`` with ``RENAME_EXCHANGE``; macOS: ``renamex_np`` with ``RENAME_SWAP``.
    """
    with contextlib.suppress(OSError, AttributeError):
        system = ctypes.CDLL(None, use_errno=True)
        places = os.fsencode(one), os.fsencode(other)
        if sys.platform == "darwin":
            return bool(system.renamex_np(*places, _MAC_SWAP) == 0)
        first, second = places
        done = system.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, _LINUX_EXCHANGE)
        return bool(done == 0)
    return False


def sync_tree(folder: Path) -> None:
    """Let everything in a folder reach the disk."""
    for path in [*folder.rglob("*"), folder]:
        if path.is_dir():
            sync_folder(path)
        else:
            with _opened(path) as descriptor:
                os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Let the names in a folder reach the disk, where the system can say so."""
    with contextlib.suppress(OSError), _opened(folder) as descriptor:  # Windows opens no folder
        os.fsync(descriptor)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    writable = os.name == "nt" and path.is_file()
    descriptor = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
