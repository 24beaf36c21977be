"""The command in a child, so that a crash inside a library ends in one sentence.

A graph can crash ONNX Runtime, which is native code: a Loop with an empty trip count does. On Linux
the commands that run models do all their work in a forked child, which takes a millisecond; the
parent waits, passes signals on and says what a crash was. Elsewhere, where a forked process may not
use the system's libraries, ``--isolate`` starts a process of its own, as long as Python takes to
start. Only light modules are imported here: it is done before anything else.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Protocol

from qdebug import at_work, interrupts
from qdebug.errors import ExitCode, ModelError, QdebugError

RUN_MODELS = frozenset(
    {"compare", "evaluate", "tune", "preprocess", "extract", "quantize", "export"}
)
"""The commands that open models."""
FORKS = sys.platform == "linux"
_WATCHED = "QDEBUG_ISOLATED"
"""Set in the environment of a started child."""
_PASSED_ON = (signal.SIGINT, signal.SIGTERM)
_ENOUGH = 3
"""Signals after which the child is killed: the first two let it tidy up. By judgement: whoever
presses Ctrl-C a third time wants nothing but the end."""
_PARENT_DIES = 1  # PR_SET_PDEATHSIG of prctl(2)
_WINDOWS_CRASHES = 0xC0000000  # status codes of severity "error"


def run(work: Callable[[], int], arguments: Sequence[str]) -> int:
    """Do the work, in a child where that is wanted and possible.

    Args:
        work: what the command does; returns its exit code.
        arguments: those of the command line.

    Returns:
        The exit code: in the child its own, in the parent the child's.

    Raises:
        QdebugError: the child crashed, or the system killed it.
    """
    if os.environ.pop(_WATCHED, None):
        _begin_as_child(arguments)
        return work()
    if not _wanted(arguments):
        return work()
    page = mmap.mmap(-1, mmap.PAGESIZE)
    with _signals_held():
        child = _forked() if FORKS else _started(arguments)
        if child is None:
            at_work.tell_on(page)
            _begin_as_child(arguments)
        else:
            arrived = _pass_signals_to(child)
    if child is None:
        return work()
    return _result(child.wait(), bool(arrived), at_work.read_page(page))


class _Child(Protocol):
    @property
    def pid(self) -> int:
        """Its number."""

    def wait(self) -> int:
        """Its exit code once it has ended, or the signal that ended it, negative."""


@dataclass(frozen=True)
class _Forked:
    pid: int

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _wanted(arguments: Sequence[str]) -> bool:
    flags = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if "--no-isolate" in flags:
        return False
    return "--isolate" in flags or (FORKS and bool(flags) and flags[0] in RUN_MODELS)


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """What arrives inside arrives after it, when both processes are ready."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _forked() -> _Forked | None:
    """The child in the parent, None in the child; also where there may be no further process."""
    parent = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        return None
    if pid:
        return _Forked(pid)
    _end_with(parent)
    return None


def _end_with(parent: int) -> None:
    """The child of a killed parent is killed by the system."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PARENT_DIES, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _started(arguments: Sequence[str]) -> _Child:
    import subprocess

    command = [sys.executable, "-m", "qdebug", *arguments]
    return subprocess.Popen(command, env={**os.environ, _WATCHED: "1"})


def _begin_as_child(arguments: Sequence[str]) -> None:
    """Hear of signals from the parent alone: a terminal sends Ctrl-C to both."""
    if os.name == "posix":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        interrupts.hear(signal.SIGTERM)
    if "--debug" in arguments:
        import faulthandler

        faulthandler.enable()


def _pass_signals_to(child: _Child) -> list[int]:
    """Pass Ctrl-C and SIGTERM on; the list grows by each that arrives."""
    arrived: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)
        if os.name == "posix":
            hard = len(arrived) >= _ENOUGH
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL if hard else signal.SIGTERM)

    for number in _PASSED_ON:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, pass_on)
    return arrived


def _result(code: int, stopped: bool, models: Sequence[str]) -> int:
    if 0 <= code < _WINDOWS_CRASHES:
        return code
    if stopped:  # before the child could answer
        sys.stderr.write("qdebug: interrupted\n")
        return ExitCode.INTERRUPTED
    if code == -getattr(signal, "SIGKILL", 0):
        raise QdebugError(
            "the system killed the work, most often for want of memory",
            "try a smaller --max-memory or --limit",
        )
    name = signal.Signals(-code).name if code < 0 else hex(code)
    if not models:
        raise QdebugError(
            f"a library that qdebug uses crashed ({name})",
            "run again with --debug and report where it was",
        )
    raise ModelError(
        f"ONNX Runtime crashed ({name}) while it worked on {' and '.join(models)}",
        "export the model again, or try another version of onnxruntime; a damaged or hostile model"
        " can do this",
    )
