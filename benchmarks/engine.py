"""Time and memory of comparing, as ratios against plain inference of both models.

    python -m benchmarks.engine [--images 1,16] [--peers] [--models NAME,...]

Every figure comes from a process of its own, so that peak memory belongs to it alone; plain
inference and qdebug take turns, and the best of several rounds counts, because other programs on
the machine only ever slow one down. Two baselines are given, because they differ a lot on
processors with int8 instructions: *deployed*, ONNX Runtime's default session; and *declared*, the
same graphs with every Q and DQ executed as written, which is what is being measured.
Preprocessing, pairing, session start and writing the run are part of qdebug's figure, decoding
and session start part of the baselines'.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

ROOT = Path(__file__).resolve().parent.parent
ZOO = ROOT.parent / "shared" / "zoo"
SAMPLES = ROOT / "sample_models"
ROUNDS = 3


@dataclass(frozen=True)
class Case:
    """A pair of models and pictures for it."""

    name: str
    float_model: Path
    quant_model: Path
    pictures: Path
    spec: str


CASES = (
    Case(
        "detector 320",
        SAMPLES / "detector/float.onnx",
        SAMPLES / "detector/int8.onnx",
        SAMPLES / "pictures/scenes",
        "letterbox 320 pad 114 | rgb | /255 | nchw",
    ),
    Case(
        "yolov5n 640",
        ZOO / "yolov5n/float.onnx",
        ZOO / "yolov5n/quant_qdq_minmax_pc.onnx",
        ZOO / "photos/street",
        "letterbox 640 pad 114 | rgb | /255 | nchw",
    ),
    Case(
        "ppocrv4_det 640",
        ZOO / "ppocrv4_det/float.onnx",
        ZOO / "ppocrv4_det/quant_qdq_minmax_pc.onnx",
        ZOO / "photos/street",
        "letterbox 640 top-left pad 0 | bgr | mean 127.5,127.5,127.5 std 127.5,127.5,127.5 | nchw",
    ),
)
MODES = ("deployed", "declared", "accumulated", "local", "sensitivity")
PEERS = ("qdq_loss_debug", "polygraphy")


@dataclass(frozen=True)
class Figure:
    """Cost of one process."""

    seconds: float
    peak_mib: float


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", default="1,16")
    parser.add_argument("--models", default="")
    parser.add_argument("--peers", action="store_true", help="also time the other tools")
    args = parser.parse_args()
    counts = [int(text) for text in args.images.split(",")]
    wanted = [name for name in args.models.split(",") if name]
    print(f"onnxruntime {onnxruntime.__version__}, Python {platform.python_version()}")
    for case in CASES:
        if not case.float_model.exists():
            print(f"\n{case.name}: not here")
        elif not wanted or any(name in case.name for name in wanted):
            for count in counts:
                _print_case(case, count, args.peers)
    return 0


def _print_case(case: Case, count: int, peers: bool) -> None:
    print(f"\n{case.name}, {count} image{'s' if count > 1 else ''}")
    modes = [*MODES, *(PEERS if peers else ())]
    if count > 1:
        modes.remove("sensitivity")
    best: dict[str, Figure] = {}
    for number in range(ROUNDS):
        for mode in modes:
            if number and mode in ("sensitivity", *PEERS):
                continue
            figure = _measure(case, mode, count)
            if figure is None:
                continue
            known = best.get(mode, figure)
            best[mode] = Figure(
                min(figure.seconds, known.seconds), min(figure.peak_mib, known.peak_mib)
            )
    deployed, declared = best["deployed"], best["declared"]
    print(
        f"  {'':16}{'seconds':>9}{'x deployed':>12}{'x declared':>12}{'peak MiB':>10}{'plain +':>9}"
    )
    for mode in modes:
        if mode not in best:
            print(f"  {mode:16}{'not installed or out of memory':>40}")
            continue
        figure = best[mode]
        print(
            f"  {mode:16}{figure.seconds:9.2f}{figure.seconds / deployed.seconds:12.2f}"
            f"{figure.seconds / declared.seconds:12.2f}{figure.peak_mib:10.0f}"
            f"{figure.peak_mib - deployed.peak_mib:9.0f}",
            flush=True,
        )


def _measure(case: Case, mode: str, count: int) -> Figure | None:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "benchmarks.worker",
            mode,
            str(count),
            str(case.float_model),
            str(case.quant_model),
            str(case.pictures),
            case.spec,
            folder,
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stderr[-400:], file=sys.stderr)
        return None
    return Figure(**json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    raise SystemExit(main())
