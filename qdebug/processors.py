"""How many processors this process may use."""

from __future__ import annotations

import os


def processors() -> int:
    """Processors that the scheduler lets this process run on, at least one.

    A container or ``taskset`` may allow fewer than the machine has; threads beyond those would
    only take turns.
    """
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no such call
        return os.cpu_count() or 1
