"""Predicted sensitivity against one run a layer: order, distance and cost.

``python -m benchmarks.sensitivity [--images N] [CASE...]``

Costs are CPU seconds of the stage by plain float inferences (all optimizations, one thread) and
images, opening the sessions included.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime

import qdebug
from benchmarks.cases import CASES, ZOO, Case
from qdebug.preprocess import prepare_file
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.progress import Silent
from qdebug.run.model import Layer, Run

CLASSIFIER = Case(
    "mobilenetv2 224",
    ZOO / "mobilenetv2/float.onnx",
    ZOO / "mobilenetv2/quant_qdq_minmax_pc.onnx",
    ZOO / "photos/street",
    "resize 256 cv2 linear | center-crop 224 | rgb | mean 123.675,116.28,103.53 "
    "std 58.395,57.12,57.375 | nchw",
)
Numbers = npt.NDArray[np.float64]


class _Clock(Silent):
    """CPU seconds of the stage."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since: float | None = None

    def stage(self, title: str, total: int | None = None) -> None:
        """Begin or end."""
        super().stage(title, total)
        now = time.process_time()
        if self._since is not None:
            self.seconds += now - self._since
        self._since = now if title == "sensitivity" else None


def lines(cases: Sequence[Case], images: int) -> Iterator[str]:
    """The table."""
    yield (
        "| model | images | layers | Spearman | median distance, dB | 90 % within, dB | "
        "predicted, inferences an image | exact |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for case in cases:
        files = case.files(images)
        once = _plain(case)
        predicted, quick = _run(case, images, exact=False)
        exact, slow = _run(case, images, exact=True)
        a, b = _levels(predicted.layers, exact.layers)
        distance = np.abs(a - b)
        costs = [f"{seconds / once / len(files):.0f}" for seconds in (quick, slow)]
        numbers = [f"{_spearman(a, b):.3f}", f"{np.median(distance):.1f}"]
        numbers += [f"{np.percentile(distance, 90):.1f}", *costs]
        yield f"| {case.name} | {len(files)} | {len(a)} | {' | '.join(numbers)} |"


def _run(case: Case, images: int, *, exact: bool) -> tuple[Run, float]:
    clock = _Clock()
    run = qdebug.compare(
        case.float_model,
        case.quant_model,
        case.files(images),
        preprocess=case.spec,
        sensitivity="exact" if exact else True,
        threads=1,
        progress=clock,
    )
    return run, clock.seconds


def _plain(case: Case) -> float:
    """CPU seconds of one inference, the shortest of several."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(case.float_model), options)
    tensor = prepare_file(case.files(1)[0], PreprocessSpec.parse(case.spec)).tensor
    seconds = []
    for _ in range(6):
        start = time.process_time()
        session.run(None, {session.get_inputs()[0].name: tensor})
        seconds.append(time.process_time() - start)
    return min(seconds)


def _levels(predicted: Sequence[Layer], exact: Sequence[Layer]) -> tuple[Numbers, Numbers]:
    """SQNR of the layers that both know, where it is finite."""
    pairs = [
        (p.sensitivity.sqnr_db, e.sensitivity.sqnr_db)
        for p, e in zip(predicted, exact, strict=True)
        if p.sensitivity is not None and e.sensitivity is not None
    ]
    both = np.array(pairs, np.float64)
    both = both[np.isfinite(both).all(axis=1)]
    return both[:, 0], both[:, 1]


def _spearman(a: Numbers, b: Numbers) -> float:
    first, second = (np.argsort(np.argsort(values)).astype(np.float64) for values in (a, b))
    return float(np.corrcoef(first, second)[0, 1])


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="by the beginning of its name")
    parser.add_argument("--images", type=int, default=4)
    args = parser.parse_args()
    known = (CLASSIFIER, *CASES)
    chosen = [c for c in known if not args.cases or c.name.startswith(tuple(args.cases))]
    for line in lines(chosen, args.images):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
