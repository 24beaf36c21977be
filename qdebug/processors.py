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


def fewer_processors() -> int:
    """``processors()`` where that is less than the machine has; 0, ONNX Runtime's own choice, else.

    ONNX Runtime counts the processors of the machine, whatever this process may use.
    """
    allowed = processors()
    return allowed if allowed < (os.cpu_count() or 1) else 0
