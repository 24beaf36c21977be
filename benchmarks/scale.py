"""Sharing a data set among processes: the time of 1 and 2, and that the numbers are the same.

``python -m benchmarks.scale MODEL... --data DATASET -p SPEC`` prints a row for every number of
workers, then what 50,000 pictures on 64 workers would take, from the costs measured here.
"""

from __future__ import annotations

import argparse
import pickle
import time
from pathlib import Path
from typing import Any

import qdebug
from qdebug.datasets import read_dataset
from qdebug.run.model import Run

PICTURES, WORKERS = 50_000, 64
NETWORK = 100e6
"""Bytes a second that a cluster's network moves for us: a tenth of 10 Gbit/s, shared. Assumed."""


def evaluate(
    models: list[str], data: str, spec: str, workers: int, limit: int
) -> tuple[Run, float]:
    """The record, and seconds."""
    start = time.perf_counter()
    run = qdebug.evaluate(models, data, preprocess=spec, workers=workers, threads=1, limit=limit)
    return run, time.perf_counter() - start


def costs(models: list[str], data: str, spec: str, limit: int) -> dict[str, float]:
    """Seconds of a picture and of the start, and bytes that travel for each picture and worker."""
    _, few = evaluate(models, data, spec, 1, 1)
    run, many = evaluate(models, data, spec, 1, limit)
    count = run.datasets[0].pictures
    pictures = read_dataset(Path(data)).pictures[:count]
    return {
        "picture_s": (many - few) / max(count - 1, 1),
        "start_s": few,
        "model_bytes": float(sum(Path(model).stat().st_size for model in models)),
        "picture_bytes": sum(p.path.stat().st_size for p in pictures) / count,
        "answer_bytes": float(len(pickle.dumps([[0.0] * 6] * 300))) * len(models),
    }


def on_paper(found: dict[str, float]) -> dict[str, float]:
    """Seconds of 50,000 pictures on 64 workers of one thread each."""
    work = PICTURES / WORKERS * found["picture_s"] + found["start_s"]
    models = WORKERS * found["model_bytes"] / NETWORK
    pictures = PICTURES * found["picture_bytes"] / NETWORK
    answers = PICTURES * found["answer_bytes"] / NETWORK
    return {
        "work": work,
        "models sent": models,
        "pictures sent (0 where workers see them)": pictures,
        "answers": answers,
        "one worker": PICTURES * found["picture_s"],
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
    print(f"1 process    {first:7.1f} s")
    for workers in (2,):
        run, seconds = evaluate(*request, workers, given.limit)
        same = run.datasets == base.datasets
        print(f"{workers} processes  {seconds:7.1f} s  ratio {seconds / first:.2f}  same: {same}")
    for name, value in on_paper(costs(*request, given.limit)).items():
        print(f"{name:45} {value:10.1f} s")


if __name__ == "__main__":
    main()
