"""Runs cases in one process: ``python -m tests.support.fuzz.worker BASE SEED NUMBER...``.

One line of JSON a case on file descriptor 3's file. Output of native libraries is seen too: the
two streams are files. The process may die in a case; whoever started it goes on after that one.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from qdebug.__main__ import main
from tests.support.fuzz.cases import make_case


def _run(base: Path, seed: int, number: int, results: Path) -> None:
    place = Path(tempfile.mkdtemp(prefix="case-", dir=results.parent))
    case = make_case(seed, number, base, place / "here")
    os.chdir(place / "here")
    before = sorted(path.name for path in Path().iterdir())
    _note(results, {"number": number, "family": case.family, "arguments": case.arguments})
    _reset_peak()
    started = time.monotonic()
    code, out, err = _captured(list(case.arguments), place)
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


def _captured(arguments: list[str], place: Path) -> tuple[int, str, str]:
    kept = os.dup(1), os.dup(2)
    with (place / "out").open("wb") as out, (place / "err").open("wb") as err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        try:
            sys.argv = ["qdebug", *arguments]
            code = main()
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
    results, base, seed, numbers = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:]
    for text in numbers:  # a case puts its own arguments in sys.argv
        _run(base, int(seed), int(text), results)
