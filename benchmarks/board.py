"""Faults planted in dumps of a board, with their controls: is each told apart, and placed?

``python -m benchmarks.board [SEED...]`` takes the simulation of the sample classifier for the
board, changes the dump as boards do, at random places, and prints one line a case: what ``qdebug
compare --board`` says of it, and ``right`` or ``WRONG``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import qdebug
from qdebug.run.model import Finding, Run
from tests.support import dumps

Array = npt.NDArray[Any]
SAMPLES = Path(__file__).resolve().parent.parent / "sample_models"
MODELS = SAMPLES / "classifier" / "float.onnx", SAMPLES / "classifier" / "int8.onnx"
SPEC = "resize 96x96 cv2 linear | rgb | mean 123.675,116.28,103.53 std 58.395,57.12,57.375 | nchw"


@dataclass(frozen=True)
class Case:
    """A dump, the finding it must raise (None for a control) and the tensor to be named."""

    name: str
    dump: dumps.Dump
    expected: str | None = None
    tensor: str | None = None


def cases(photo: Path, other: Path, rng: np.random.Generator) -> Iterator[Case]:
    """All cases of one photo."""
    sound = dumps.simulated(*MODELS, photo, SPEC)
    layers = [name for name, value in sound.items() if value.ndim == 4][1:-1]
    place, gain = str(rng.choice(layers)), np.float32(rng.choice([0.98, 1.02]))
    last = list(sound)[-1]

    def at(change: Any) -> dumps.Dump:
        return dumps.changed(sound, place, change)

    yield Case("sound", sound)
    yield Case("sound, NHWC", dumps.channels_last(sound))
    yield Case("one layer 2 % off", at(lambda v: v * gain), "board-layer", place)
    yield Case("scale twice", at(lambda v: v * np.float32(2)), "board-layer", place)
    yield Case("row stride", at(_sheared), "board-layer", place)
    yield Case("channels shifted", at(lambda v: np.roll(v, 1, 1)), "board-layer", place)
    yield Case("rounded down", at(_lower))
    scale = float(np.abs(sound[last]).max() / 127)
    codes = dumps.changed(sound, last, lambda v: dumps.codes(v, scale, 0, "int8"))
    yield Case("output in codes", codes, "board-layout", last)
    yield Case("BGR", dumps.simulated(*MODELS, photo, SPEC.replace("rgb", "bgr")), "board-input")
    yield Case("another photo", dumps.simulated(*MODELS, other, SPEC), "board-input")


def _sheared(value: Array) -> Array:
    padded = dumps.padded_rows(value, value.shape[3] + 5)
    return padded.reshape(-1)[: value.size].reshape(value.shape)


def _lower(value: Array) -> Array:
    """Half a step lower, but for what is clipped."""
    steps = np.diff(np.unique(value))
    half = steps.min() / 2 if len(steps) else np.float32(0)
    return np.asarray(np.where(value > value.min(), value - half, value), np.float32)


def _told(run: Run) -> list[Finding]:
    return [f for f in run.findings if f.slug.startswith("board-") and f.status in ("fail", "warn")]


def _is_right(case: Case, run: Run) -> bool:
    told = _told(run)
    if case.expected is None:
        return not [found for found in told if found.slug != "board-layout"]
    if [found.slug for found in told] != [case.expected]:
        return False
    place = run.layers[told[0].layers[0]].float_tensor
    return case.tensor is None or place == case.tensor


def main(seeds: list[int]) -> int:
    """Print the table.

    Returns:
        How many cases are wrong.
    """
    photos = sorted((SAMPLES / "pictures" / "objects").glob("*.jpg"))
    wrong = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        one, two = (photos[i] for i in rng.choice(len(photos), 2, replace=False))
        for case in cases(one, two, rng):
            with tempfile.TemporaryDirectory() as folder:
                place = dumps.write_npz(case.dump, Path(folder) / "board.npz")
                run = qdebug.compare(*MODELS, one, preprocess=SPEC, board=place, task="none")
            right = _is_right(case, run)
            wrong += not right
            told = "; ".join(found.title for found in _told(run)) or "nothing"
            print(f"{seed} {one.stem:12} {case.name:18} {'right' if right else 'WRONG'}  {told}")
    return wrong


if __name__ == "__main__":
    sys.exit(1 if main([int(seed) for seed in sys.argv[1:]] or [0]) else 0)
