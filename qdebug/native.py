"""What native libraries write to stderr by themselves, past Python."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

_STDERR = 2
_LOCK = threading.RLock()
"""Two threads that redirect at once would restore each other's nowhere."""


@contextlib.contextmanager
def silent_libraries() -> Iterator[None]:
    """Nothing that native code writes to stderr inside is seen.

    libpng, libjpeg and OpenCV describe damage there, above the one sentence that a user should
    read. Holds for the whole process, so keep what is inside short.
    """
    with _LOCK:
        try:
            kept = os.dup(_STDERR)
        except OSError:  # stderr is closed: nothing to silence
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, _STDERR)
            yield
        finally:
            os.dup2(kept, _STDERR)
            os.close(nowhere)
            os.close(kept)
