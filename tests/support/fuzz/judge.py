"""Starts workers and says of each case what it did wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 20.0
"""A case may not take longer."""
PEAK_MIB = 1200.0
"""The most that a process with these small models may need."""
LONGEST = 1200
"""Characters of one message."""

_CRASHED = "the process ended with "


@dataclass(frozen=True)
class Outcome:
    """What one case led to; ``wrong`` is empty where all was well."""

    number: int
    family: str
    arguments: tuple[str, ...]
    code: int | None
    err: str
    wrong: tuple[str, ...]


def run_cases(base: Path, seed: int, numbers: Sequence[int], folder: Path) -> Iterator[Outcome]:
    """Run cases in workers, a new one after each that died or hung."""
    left = list(numbers)
    while left:
        results = folder / f"results-{left[0]}"
        ended = _work(base, seed, left, results)
        entries = _entries(results)
        if left[0] not in entries:
            raise RuntimeError(f"the files of case {left[0]} could not be made: {ended}")
        for number in list(left):
            if number not in entries:
                break
            left.remove(number)
            entry = entries[number]
            if "code" not in entry and ended.startswith(_CRASHED):
                alone = folder / f"results-{number}-alone"
                ended = _work(base, seed, [number], alone, "--alone")
                entry |= _entries(alone).get(number, {})
            yield _outcome(number, entry, ended)


def _work(base: Path, seed: int, numbers: Sequence[int], results: Path, *flags: str) -> str:
    """Run one worker to its end; gives how it ended."""
    command = [sys.executable, "-m", "tests.support.fuzz.worker", *flags, str(results)]
    command += [str(base), str(seed)]
    root = Path(__file__).resolve().parents[3]
    process = subprocess.Popen(
        [*command, *map(str, numbers)], cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    seen, since = 0, time.monotonic()
    while process.poll() is None:
        time.sleep(0.05)
        size = results.stat().st_size if results.exists() else 0
        if size != seen:
            seen, since = size, time.monotonic()
        elif time.monotonic() - since > 2 * SECONDS:
            process.kill()
            process.communicate()
            return f"hung for {2 * SECONDS:.0f} s"
    _, said = process.communicate()
    last = said.decode("utf-8", "replace").strip().splitlines()[-1:]
    return f"{_CRASHED}{process.returncode} {' '.join(last)}"


def _entries(results: Path) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for line in results.read_text(encoding="utf-8").splitlines() if results.exists() else []:
        entry = json.loads(line)
        found.setdefault(entry["number"], {}).update(entry)
    return found


def _outcome(number: int, entry: dict[str, Any], ended: str) -> Outcome:
    code = entry.get("code")
    wrong = tuple(_wrong(entry)) if code is not None else (ended,)
    arguments = tuple(entry["arguments"])
    return Outcome(number, entry["family"], arguments, code, entry.get("err", ""), wrong)


def _wrong(entry: dict[str, Any]) -> Iterator[str]:
    code, out, err = entry["code"], entry["out"], entry["err"]
    if code not in (0, 1, 2):
        yield f"exit code {code}"
    if "internal error" in err or "Traceback" in err or ("the check" in out and "crashed" in out):
        yield "internal error"
    if code == 2 and "error:" in err:
        yield from _refusal(err)
    elif code != 2 and _foreign(err):
        yield f"line of a library: {_foreign(err)[0][:200]}"
    if re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", out + err):
        yield "control character"
    if entry["seconds"] > SECONDS:
        yield f"took {entry['seconds']:.0f} s"
    if entry["peak_mib"] > PEAK_MIB:
        yield f"needed {entry['peak_mib']:.0f} MiB"
    if entry["left"]:
        yield f"left {entry['left']}"


def _refusal(err: str) -> Iterator[str]:
    lines = [line for line in err.splitlines() if line.strip()]
    if _foreign(err):
        yield f"line of a library: {_foreign(err)[0][:200]}"
    if not any(line.startswith("hint: ") for line in lines):
        yield "no hint"
    if max(map(len, lines)) > LONGEST:
        yield f"a message of {max(map(len, lines))} characters"
    for raw in ("[ONNXRuntimeError]", "allow_pickle", "0x7f"):
        if raw in err:
            yield f"raw text: {raw}"


def _foreign(err: str) -> list[str]:
    lines = [line for line in err.splitlines() if line.strip()]
    return [line for line in lines if not line.startswith(("qdebug: ", "hint: "))]
