"""Time and memory of comparing, as ratios against plain inference of both models.

    python -m benchmarks [--images 1,16] [--peers] [--models NAME,...]

Every figure comes from a process of its own, so that peak memory belongs to it alone; plain
inference and qdebug take turns, and the best of several rounds counts, because other programs on
the machine only ever slow one down. Two baselines are given, because they differ a lot on
processors with int8 instructions: *deployed*, ONNX Runtime's default session; and *declared*, the
same graphs with every Q and DQ executed as written, which is what is being measured. Both decode
the pictures and start their sessions, as qdebug does.

Of qdebug's time, *running* is what the samples cost: preprocessing, both models, the metrics,
the outputs as deployed. The rest is loading, pairing, and the checks, whose what-if runs are
bounded in number and do not grow with the samples.
"""

from __future__ import annotations

import argparse
import atexit
import functools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field

import onnxruntime

from benchmarks.cases import CASES, ROOT, Case

ROUNDS = 3
PLAIN = ("deployed", "declared")
SENSITIVITY, FLOAT = "exact sensitivity", "float"
MODES = (*PLAIN, "accumulated", "local", "sensitivity", SENSITIVITY, FLOAT)
PEERS = ("qdq_loss_debug", "polygraphy")


@dataclass(frozen=True)
class Figure:
    """Cost of one process.

    Attributes:
        seconds: wall time, from opening the models to the end.
        peak_mib: largest resident memory.
        stages: seconds by stage, of qdebug.
        layers: how many were measured.
        float_seconds: one plain inference of the float model, where that was asked for.
    """

    seconds: float
    peak_mib: float
    stages: dict[str, float] = field(default_factory=dict)
    layers: int = 0
    float_seconds: float = 0.0

    @property
    def running(self) -> float:
        """Seconds that the samples took."""
        return self.stages.get("running both models", self.seconds)


def lines(cases: list[Case], counts: list[int], peers: bool) -> Iterator[str]:
    """The table, line by line."""
    yield f"onnxruntime {onnxruntime.__version__}, Python {platform.python_version()}"
    yield ""
    yield (
        "| model | images | mode | seconds | x deployed | x declared | running x deployed "
        "| running x declared | peak MiB | above plain |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for case in cases:
        for count in counts:
            best = _best(case, count, peers)
            for mode, figure in best.items():
                if mode != FLOAT:
                    yield _line(case, count, mode, figure, best)
            if SENSITIVITY in best and FLOAT in best:
                yield _sensitivity(case, count, best)


def _line(case: Case, count: int, mode: str, figure: Figure, best: dict[str, Figure]) -> str:
    plain = [best[name] for name in PLAIN]
    ratios = [f"{figure.seconds / p.seconds:.2f}" for p in plain]
    ratios += [f"{figure.running / p.seconds:.2f}" for p in plain] if figure.stages else ["", ""]
    cells = [case.name, str(count), mode, f"{figure.seconds:.2f}", *ratios]
    cells += [f"{figure.peak_mib:.0f}", f"{figure.peak_mib - plain[0].peak_mib:.0f}"]
    return f"| {' | '.join(cells)} |"


def _sensitivity(case: Case, count: int, best: dict[str, Figure]) -> str:
    """Cost of sensitivity alone, in plain inferences of the float model for each layer."""
    figure = best[SENSITIVITY]
    once = best[FLOAT].float_seconds
    ratio = figure.stages["sensitivity"] / (figure.layers * count * once)
    return (
        f"| {case.name} | {count} | {ratio:.2f} plain float inferences for each of "
        f"{figure.layers} layers and image | | | | | | | |"
    )


def _best(case: Case, count: int, peers: bool) -> dict[str, Figure]:
    modes = [*MODES, *(PEERS if peers else ())]
    if count > 1:
        modes = [mode for mode in modes if mode not in (SENSITIVITY, FLOAT)]
    best: dict[str, Figure] = {}
    for number in range(ROUNDS):
        for mode in modes:
            if number and mode in (SENSITIVITY, *PEERS):
                continue
            figure = _measure(case, mode, count)
            if figure is not None:
                best[mode] = min(best.get(mode, figure), figure, key=lambda f: f.seconds)
    return best


def _measure(case: Case, mode: str, count: int) -> Figure | None:
    """One process; None where it failed: a tool that is not installed, or out of memory."""
    files = map(str, (case.float_model, case.quant_model, *case.files(count)))
    with tempfile.TemporaryDirectory() as folder:
        worker = [sys.executable, "-m", "benchmarks.worker"]
        command = [*worker, mode, case.spec, folder, *files]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, env=_as_installed()
        )
    if done.returncode != 0:
        print(f"{case.name}, {mode}: {done.stderr[-400:]}", file=sys.stderr)
        return None
    return Figure(**json.loads(done.stdout.splitlines()[-1]))


@functools.cache
def _as_installed() -> dict[str, str]:
    """The environment, with modules compiled once and kept, as an installed package's are."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    kept = tempfile.mkdtemp(prefix="qdebug-bench-")
    atexit.register(shutil.rmtree, kept, ignore_errors=True)
    return {**env, "PYTHONPYCACHEPREFIX": kept}


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Time and memory against plain inference."
    )
    parser.add_argument("--images", default="1,16", help="numbers of images (default 1,16)")
    parser.add_argument("--models", default="", help="words of the names of the models to run")
    parser.add_argument("--peers", action="store_true", help="also time the other tools")
    args = parser.parse_args()
    counts = [int(text) for text in args.images.split(",")]
    wanted = [name for name in args.models.split(",") if name]
    cases = [
        case
        for case in CASES
        if case.float_model.exists() and (not wanted or any(w in case.name for w in wanted))
    ]
    for line in lines(cases, counts, args.peers):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
