"""Where a signal may raise, and where it waits."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from qdebug import interrupts
from qdebug.run.store import run_from_json

_WITH_A_LOCK = """
def take_and_release(held):
    held.append("lock")
    signal.raise_signal(number)
    done = True  # a signal is looked for between two instructions
    held.remove("lock")

def find_and_load(held, body):
    take_and_release(held)
    body()
"""
"""What importlib does: whoever is interrupted between the lines keeps the lock."""


@pytest.fixture
def heard() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interrupts.caught():
            yield
    finally:
        signal.signal(signal.SIGINT, before)


def _code(file: str) -> dict[str, object]:
    names: dict[str, object] = {"signal": signal, "number": signal.SIGINT}
    exec(compile(_WITH_A_LOCK, file, "exec"), names)
    return names


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(("file", "kept"), [("<frozen importlib._bootstrap>", []), ("a", ["lock"])])
def test_import_code_gives_its_lock_back_first(file: str, kept: list[str]) -> None:
    held: list[str] = []
    went_on: list[str] = []

    def body() -> None:
        went_on.append("into the module")

    find_and_load = _code(file)["find_and_load"]
    assert callable(find_and_load)
    with pytest.raises(KeyboardInterrupt):
        find_and_load(held, body)
    assert held == kept
    assert went_on == []


_AS_A_MODULE = """
signal.raise_signal(number)
went_on.append("to its end")
"""
_AS_A_FUNCTION = f"def made():{_AS_A_MODULE.replace(chr(10), chr(10) + '    ')}"
_RUNS_MODULES = """
def _call_with_frames_removed(called, *arguments):
    called(*arguments)
"""
"""What importlib has a module run by, or made by native code, which has no frame of its own."""


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("is_native", [True, False])
def test_only_a_native_module_is_loaded_to_its_end(is_native: bool) -> None:
    went_on: list[str] = []
    names: dict[str, Any] = {"went_on": went_on, "signal": signal, "number": signal.SIGINT}
    exec(compile(_RUNS_MODULES, "<frozen importlib._bootstrap>", "exec"), names)
    exec(_AS_A_FUNCTION, names)
    work = (names["made"],) if is_native else (exec, compile(_AS_A_MODULE, "a", "exec"), names)
    with pytest.raises(KeyboardInterrupt):
        names["_call_with_frames_removed"](*work)
        went_on.append("and out")
    assert went_on == (["to its end"] if is_native else [])


@pytest.mark.usefixtures("heard")
def test_a_run_is_not_read_after_an_interrupt_that_got_lost() -> None:
    """msgspec, interrupted while it is loaded, lost it and crashed the process here."""
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_from_json("{}")


@pytest.mark.parametrize(
    "lines",
    [
        "from qdebug import beginning; signal.raise_signal(signal.SIGINT)",
        "from qdebug import __main__ as program; program._run = lose; sys.exit(program.main())",
    ],
)
def test_the_first_milliseconds_say_one_line(lines: str) -> None:
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def lose():\n"
        "    try:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    except KeyboardInterrupt as error:\n"
        "        raise RuntimeError('Error calling __set_name__') from error\n"
        f"{lines}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (130, b"qdebug: interrupted\n")
