"""What signals leave behind: ``python -m benchmarks.kills --seed 1 --each 100``.

``--from 40 --each 20`` runs the turns 40 to 59 of the same job.

SIGKILL, SIGTERM and SIGINT reach ``compare``, ``report`` and ``compare --sensitivity exact`` at
random moments, from their first imports to their end. Afterwards each output must be whole or
absent, the two stoppable signals must end in exit code 130 with one line and without a half-written
file (0 and 1 where the work was done first), and the same command must succeed in that folder and
clean up behind a killed one. That last one, which nobody disturbs, runs in this process: it has
imported everything.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from qdebug.cli import main as main_of_qdebug
from qdebug.errors import QdebugError
from qdebug.run.store import load_run
from tests.support.fuzz.base import make_base
from tests.support.graphs import SPEC

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_PAIR = ("compare", "float.onnx", "quant.onnx", "photo.png", "photo.jpg", "-p", SPEC)
COMMANDS = {
    "compare": (*_PAIR, "-o", "new.qdrun"),
    "report": ("report", "run.qdrun", "-o", "new.html"),
    "sensitivity": (*_PAIR, "-o", "new.qdrun", "--sensitivity", "exact"),
}
ENDED = frozenset((0, 1))
INTERRUPTED = 130
_PYTHON_BEGINS = 2.0
"""Before the first lines of ours run, no program can answer SIGTERM. They have run for sure after
so many times as long as a program of these lines takes from its start to its end. By judgement."""
_OURS = re.compile(r"""File "[^"]*qdebug[/\\]""")
"""A line of a traceback that is of qdebug's own code. Before that runs, Python answers Ctrl-C with
a traceback of its own start."""
PATIENCE_S = 60.0
"""By judgement: a command here takes about a second."""


def _start(folder: Path, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "qdebug", *COMMANDS[name]],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


@contextmanager
def chdir(folder: Path) -> Iterator[None]:
    """Work in a folder for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _output(folder: Path, name: str) -> Path:
    return folder / COMMANDS[name][COMMANDS[name].index("-o") + 1]


def _duration(base: Path, place: Path, name: str) -> float:
    """Seconds of the undisturbed command."""
    shutil.copytree(base, place)
    started = time.monotonic()
    process = _start(place, name)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode in ENDED, f"{name} does not work here"
    seconds = time.monotonic() - started
    shutil.rmtree(place)
    return seconds


def _beginning() -> float:
    """Seconds until Python surely runs a program's first lines, on this machine under its load."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", "from qdebug import interrupts"], check=True)
    return _PYTHON_BEGINS * (time.monotonic() - started)


def _hidden(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name.startswith(".")}


def _broken_output(folder: Path, name: str) -> Iterator[str]:
    output = _output(folder, name)
    if not output.exists():
        return
    try:
        load_run(output)
    except QdebugError as error:
        yield f"{output.name} is damaged: {error}"


def _is_python_yet(process: subprocess.Popen[bytes]) -> bool:
    """Whether Python has begun to hear of SIGINT in a process; until then nobody's code runs."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    except OSError:  # no such files on this system, or the process has ended
        return True
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGINT - 1) & 1)


def _after_signal(
    folder: Path, name: str, number: int, code: int, err: str, hears: bool, after: float
) -> Iterator[str]:
    yield from _broken_output(folder, name)
    if "internal error" in err or ("Traceback" in err and _OURS.search(err)):
        yield f"internal: {err[-300:]!r}"
    if number == signal.SIGKILL:
        return
    if code not in (*ENDED, INTERRUPTED, -number):
        yield f"exit code {code}: {err[-300:]!r}"
    if code == -number and hears and "Traceback" not in err and after > _beginning():
        yield "ended by the signal, without a word"
    if code == INTERRUPTED and "qdebug: interrupted" not in err:
        yield f"said {err[-300:]!r}"
    journal = {f".{_output(folder, name).name}.sensitivity"}  # taken up by the next command
    left = _hidden(folder) - (journal if name == "sensitivity" else set())
    if left:
        yield f"left {sorted(left)}"


def _after_rerun(folder: Path, name: str) -> Iterator[str]:
    output = _output(folder, name)
    if output.exists():
        shutil.rmtree(output) if output.is_dir() else output.unlink()
    with chdir(folder), redirect_stdout(StringIO()), redirect_stderr(StringIO()) as err:
        code = main_of_qdebug(list(COMMANDS[name]))
    if code not in ENDED:
        yield f"the next command: exit code {code}: {err.getvalue()[-300:]!r}"
    yield from _broken_output(folder, name)
    if not output.exists():
        yield "the next command wrote nothing"
    if _hidden(folder):
        yield f"the next command left {sorted(_hidden(folder))}"


def _one(base: Path, place: Path, name: str, number: int, after: float) -> tuple[str, list[str]]:
    """How the command ended, and what was wrong."""
    shutil.copytree(base, place)
    process = _start(place, name)
    hears = True
    try:
        _, err = process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        hears = _is_python_yet(process)
        process.send_signal(number)
        try:
            _, err = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            shutil.rmtree(place)
            return "interrupted", [f"did not end within {PATIENCE_S:.0f} s"]
    code, text = process.returncode, err.decode("utf-8", "replace")
    wrong = list(_after_signal(place, name, number, code, text, hears, after))
    if code not in ENDED:
        wrong += _after_rerun(place, name)
    shutil.rmtree(place)
    return "done before" if code in ENDED else "interrupted", wrong


def _table(counts: collections.Counter[tuple[str, str, str]], wrong: Sequence[str]) -> None:
    print(f"{'command':<12} {'signal':<8} {'interrupted':>11} {'done before':>11} {'wrong':>6}")
    for name in COMMANDS:
        for number in SIGNALS:
            cells = [counts[name, number.name, way] for way in ("interrupted", "done before")]
            bad = counts[name, number.name, "wrong"]
            print(f"{name:<12} {number.name:<8} {cells[0]:>11} {cells[1]:>11} {bad:>6}")
    print(f"{len(wrong)} wrong")


def main() -> int:
    """Run the job; 1 where something was left or lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--from", type=int, default=0, dest="first", help="number of the first turn"
    )
    parser.add_argument("--each", type=int, default=100, help="signals of a kind in a command")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    counts: collections.Counter[tuple[str, str, str]] = collections.Counter()
    told: list[str] = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        base = make_base(folder / "base")
        spans = {name: _duration(base, folder / "timed", name) for name in COMMANDS}
        for turn in range(args.first + args.each):
            for name in COMMANDS:
                for number in SIGNALS:
                    after = rng.uniform(0.02, spans[name])
                    if turn < args.first:
                        continue
                    way, wrong = _one(base, folder / "case", name, number, after)
                    counts[name, number.name, way] += 1
                    counts[name, number.name, "wrong"] += bool(wrong)
                    told += wrong
                    for line in wrong:
                        print(
                            f"{turn} {name} {number.name} after {after:.3f} s: {line}", flush=True
                        )
    _table(counts, told)
    return int(bool(told))


if __name__ == "__main__":
    raise SystemExit(main())
