"""Runs cases in one process: ``python -m tests.support.fuzz.worker RESULTS BASE SEED NUMBER...``.

Lines of JSON for each case go to the file RESULTS. Output of native libraries is seen too: the two
streams are files. The process may die in a case; whoever started it runs that one again with
``--alone``, as a command of its own, and goes on after it.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import BinaryIO

from qdebug.cli import main
from tests.support.fuzz.cases import make_case


def _run(base: Path, seed: int, number: int, results: Path, alone: bool) -> None:
    place = Path(tempfile.mkdtemp(prefix="case-", dir=results.parent))
    case = make_case(seed, number, base, place / "here")
    os.chdir(place / "here")
    before = sorted(path.name for path in Path().iterdir())
    _note(results, {"number": number, "family": case.family, "arguments": case.arguments})
    _reset_peak()
    started = time.monotonic()
    code, out, err = _captured(list(case.arguments), place, alone)
    seconds = time.monotonic() - started
    names = [path.name for path in Path().iterdir()]
    left = [name for name in names if name.startswith(".") and name not in before]
    _note(
        results,
        {
            "number": number,
            "code": code,
            "out": out[-20000:],
            "err": err,
            "seconds": seconds,
            "peak_mib": _peak_mib(),
            "left": left,
        },
    )
    os.chdir(results.parent)
    shutil.rmtree(place, ignore_errors=True)


def _of_a_command(arguments: list[str], out: BinaryIO, err: BinaryIO) -> int:
    command = [sys.executable, "-m", "qdebug", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    return subprocess.run(command, stdout=out, stderr=err, env=environment, check=False).returncode


def _captured(arguments: list[str], place: Path, alone: bool) -> tuple[int, str, str]:
    kept = os.dup(1), os.dup(2)
    with (place / "out").open("wb") as out, (place / "err").open("wb") as err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        try:
            code = _of_a_command(arguments, out, err) if alone else main(arguments)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            for descriptor in kept:
                os.close(descriptor)
    texts = [(place / name).read_bytes().decode("utf-8", "replace") for name in ("out", "err")]
    return code, texts[0], texts[1]


def _note(results: Path, entry: dict[str, object]) -> None:
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s*(\d+)", status)
    return int(found[1]) / 1024 if found else float("nan")


MOST_BYTES = 6 << 30
"""Address space: a case that asks for more fails by itself, and not the machine."""

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    warnings.simplefilter("ignore")  # as the command does
    alone = "--alone" in sys.argv
    results, base, seed, *numbers = [word for word in sys.argv[1:] if word != "--alone"]
    for text in numbers:
        _run(Path(base), int(seed), int(text), Path(results), alone)
