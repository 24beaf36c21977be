"""Sharing a data set among processes: the time of 1 and 2, and that the numbers are the same.

``python -m benchmarks.scale MODEL... --data DATASET -p SPEC`` prints a row for every number of
workers, then what 50,000 pictures on 64 workers would take, from the costs measured here.
"""

from __future__ import annotations

import argparse
import pickle
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import qdebug
from qdebug.datasets import read_dataset
from qdebug.progress import Silent
from qdebug.run.model import Run

PICTURES, WORKERS = 50_000, 64
MOST_BOXES = 300
"""Of a picture's answer, by default."""
NETWORK = 100e6
"""Bytes a second that a cluster's network moves for us: a tenth of 10 Gbit/s, shared. Assumed."""


class Stages(Silent):
    """When each stage of an evaluation began."""

    def __init__(self) -> None:
        self.began = {"start": time.perf_counter()}

    def stage(self, title: str, total: int | None = None) -> None:  # noqa: ARG002 - a Progress
        self.began[title] = time.perf_counter()


def evaluate(
    models: list[str], data: str, spec: str, workers: int, limit: int
) -> tuple[Run, dict[str, float]]:
    """The record, and the seconds of each stage and of ``all``."""
    stages = Stages()
    run = qdebug.evaluate(
        models, data, preprocess=spec, workers=workers, threads=1, limit=limit, progress=stages
    )
    times = [*stages.began.values(), time.perf_counter()]
    seconds = dict(zip(stages.began, (b - a for a, b in pairwise(times)), strict=True))
    return run, {**seconds, "all": times[-1] - times[0]}


def costs(models: list[str], data: str, run: Run, seconds: dict[str, float]) -> dict[str, float]:
    """Seconds of a picture's answers and scores, of a start; and bytes that travel."""
    count = run.datasets[0].pictures
    pictures = read_dataset(Path(data)).pictures[:count]
    return {
        "picture_s": seconds["running the models"] / count,
        "score_s": seconds["scoring"] / count,
        "start_s": seconds["start"] + seconds["opening the models"],
        "model_bytes": float(sum(Path(model).stat().st_size for model in models)),
        "picture_bytes": sum(p.path.stat().st_size for p in pictures) / count,
        "answer_bytes": float(len(pickle.dumps(np.zeros((MOST_BOXES, 6))))) * len(models),
    }


def on_paper(found: dict[str, float]) -> dict[str, float]:
    """Seconds of 50,000 pictures on 64 workers of one thread each."""
    return {
        "start (labels, models opened)": found["start_s"],
        "models sent (0 where workers see them)": WORKERS * found["model_bytes"] / NETWORK,
        "pictures sent (0 where workers see them)": PICTURES * found["picture_bytes"] / NETWORK,
        "answers by 64 workers": PICTURES / WORKERS * found["picture_s"] + found["start_s"],
        "answers sent back, at most": PICTURES * found["answer_bytes"] / NETWORK,
        "scores and intervals, here": PICTURES * found["score_s"],
        "one worker instead of 64": PICTURES * found["picture_s"],
    }


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("-p", "--preprocess", required=True)
    parser.add_argument("--limit", type=int, default=64)
    given: Any = parser.parse_args()
    request = (given.models, given.data, given.preprocess)
    base, first = evaluate(*request, 1, given.limit)
    print(f"1 process    {first['all']:7.1f} s, of it answers {first['running the models']:.1f} s")
    run, two = evaluate(*request, 2, given.limit)
    ratio = two["running the models"] / first["running the models"]
    print(f"2 processes  {two['all']:7.1f} s, of it answers {two['running the models']:.1f} s, "
          f"ratio {ratio:.2f}; same: {run.datasets == base.datasets}")  # fmt: skip
    found = costs(given.models, given.data, base, first)
    for name, value in found.items():
        print(f"{name:45} {value:14.4f}")
    for name, value in on_paper(found).items():
        print(f"{name:45} {value:14.1f} s")


if __name__ == "__main__":
    main()
