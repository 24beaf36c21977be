"""Which models native code works on at this moment, told to whoever watches this process.

A crash inside ONNX Runtime ends the process at once; a page of memory shared with the watching
parent (``isolation``) outlives it.
"""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mmap

_LOCK = threading.Lock()
_AT_WORK: collections.Counter[str] = collections.Counter()


class _Told:
    """Where it is written; nowhere in a process that nobody watches."""

    page: mmap.mmap | None = None


def tell_on(page: mmap.mmap) -> None:
    """Write it on this page from now on."""
    _Told.page = page


@contextlib.contextmanager
def working_on(model: str) -> Iterator[None]:
    """Native code opens or runs a model inside, in this thread.

    Args:
        model: its name, for people.
    """
    if _Told.page is None:
        yield
        return
    _count(_Told.page, model, 1)
    try:
        yield
    finally:
        _count(_Told.page, model, -1)


def read_page(page: mmap.mmap) -> list[str]:
    """The models that the other process worked on when it ended."""
    return [
        name for name in page[:].split(b"\0", 1)[0].decode("utf-8", "replace").split("\n") if name
    ]


def _count(page: mmap.mmap, model: str, change: int) -> None:
    with _LOCK:
        _AT_WORK[model] += change
        names = "\n".join(name.replace("\n", " ") for name, count in _AT_WORK.items() if count)
        text = names.encode("utf-8", "replace")[: len(page) - 1]
        page[: len(text) + 1] = text + b"\0"
