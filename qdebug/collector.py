"""The garbage collector kept away from what is no garbage.

A collection visits every object that is young enough, and while modules are imported or a run is
read, hundreds of thousands of objects are made that all stay.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator

_is_kept = threading.Event()
"""Set once something is kept. To ask the collector takes some 15 ms: it counts every object."""


@contextlib.contextmanager
def paused(*, keep: bool = False) -> Iterator[None]:
    """Without collections; they go on after it as they were before.

    Args:
        keep: let no later collection visit what there is at the end (``gc.freeze``). For programs
            that hold it as long as they run, not for libraries: cycles in it are never freed.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
        if keep:
            gc.freeze()
            _is_kept.set()
    finally:
        if was_on:
            _go_on()


@contextlib.contextmanager
def resumed() -> Iterator[None]:
    """With collections, inside ``paused``: for what goes on for long and leaves garbage."""
    was_on = gc.isenabled()
    _go_on()
    try:
        yield
    finally:
        if not was_on:
            gc.disable()


def _go_on() -> None:
    """Let collections go on; what there is counts as old.

    The next collection of the young would visit all that was made without collections. Where the
    program itself has frozen objects that is left as it is: they would be thawed with the others.
    """
    if not gc.isenabled() and not _is_kept.is_set() and not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()  # to the oldest generation, without a visit
    gc.enable()
