"""Ctrl-C and SIGTERM: both end the work as ``KeyboardInterrupt``, which tidies up on its way.

Python raises it between two instructions of the main thread, wherever that is. Code that must not
stop half way runs inside ``held``. Where the exception is swallowed (inside a library's callback,
or as the ``ImportError`` of a module that was being loaded), ``arrived`` still knows.

Inside Python's own import code it waits: raised between the lines that take and release the one
lock of all imports, it would keep that lock, and every other thread that imports would wait for
ever, as would whoever waits for that thread. It waits, too, in what a native module calls while it
is loaded: such a module reports it as an error of its own.
"""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

_ECHO_S = 0.5
"""Within which a second signal is the echo of the first: sent to all processes of a group, it
reaches a child from its parent too. By judgement."""
_IMPORT_CODE = "<frozen importlib._bootstrap>"
"""What Python names the file of the code that holds the locks of imports."""
_RUNS_MODULES = "_call_with_frames_removed"
"""Its function that runs the code of a module, or lets a native one make itself."""


class _Interrupt(KeyboardInterrupt):
    """What a signal raises.

    A plain KeyboardInterrupt that leaves a dataclass or a namedtuple in the making (``exec``) lets
    Python end itself by SIGINT at its very end, whatever the exit code is.
    """


class _State:
    """What has arrived, when, and whether it has to wait."""

    arrived = False
    when = -math.inf
    waiting = 0


def arrived() -> bool:
    """Whether the user, or the system, has asked this process to stop."""
    return _State.arrived


def check(done: str = "") -> None:
    """Stop here if that was asked for and got lost.

    Args:
        done: what is done already, for the message.

    Raises:
        KeyboardInterrupt: a signal has arrived.
    """
    if _State.arrived and not _State.waiting:
        raise _Interrupt(done)


@contextlib.contextmanager
def caught() -> Iterator[None]:
    """Both signals raise ``KeyboardInterrupt`` inside; the handlers from before come back after.

    Outside the main thread, where Python sets no handlers, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.arrived, _State.when = False, -math.inf
    before = {number: signal.signal(number, _arrive) for number in _signals()}
    hook, sys.unraisablehook = sys.unraisablehook, _without_interrupts(sys.unraisablehook)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
        _State.arrived = False


@contextlib.contextmanager
def held(done: str) -> Iterator[None]:
    """A signal that arrives inside is raised after it, so that a step is done whole.

    Args:
        done: what is done by then, for the message.

    Raises:
        KeyboardInterrupt: a signal has arrived.
    """
    _State.waiting += 1
    try:
        yield
    finally:
        _State.waiting -= 1
    check(done)


def _signals() -> list[int]:
    """Those that are not ignored: a shell lets background jobs ignore Ctrl-C."""
    wanted = (signal.SIGINT, signal.SIGTERM)
    return [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]


def hear(number: int) -> None:
    """Let a signal raise ``KeyboardInterrupt`` from now on, outside of ``caught`` too."""
    signal.signal(number, _arrive)


def _arrive(_number: int, frame: FrameType | None) -> None:
    before, _State.when = _State.when, time.monotonic()
    if _State.when - before <= _ECHO_S:
        return
    _State.arrived = True
    if _is_importing(frame):
        _check_outside_import_code()
    else:
        check()


def _is_importing(frame: FrameType | None) -> bool:
    """Whether import code runs, or what a native module calls that it loads."""
    called = None
    while frame is not None and frame.f_code.co_filename != _IMPORT_CODE:
        called, frame = frame, frame.f_back
    if frame is None or called is None:
        return frame is not None
    return frame.f_code.co_name == _RUNS_MODULES and called.f_code.co_name != "<module>"


def _check_outside_import_code() -> None:
    """Check as soon as the main thread runs any other code.

    The hook of profilers is what Python calls first there; whatever it raises takes it away.
    """
    ours = check.__code__.co_filename  # still to return from

    def leave(frame: FrameType, _event: str, _argument: object) -> None:
        if frame.f_code.co_filename != ours and not _is_importing(frame):
            sys.setprofile(None)
            check()

    sys.setprofile(leave)


def _without_interrupts(hook: Any) -> Any:
    """A hook that says nothing of an interrupt that a callback could not pass on."""

    def quiet(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            hook(unraisable)

    return quiet
