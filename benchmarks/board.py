"""Faults planted in dumps of a board, with their controls: is each told apart, and placed?

``python -m benchmarks.board [SEED...] [--only=NET]`` takes the simulation of the sample models
(classifier, detector, transformer) for the board, changes the dump as boards do, at random places,
and prints one line a case: what ``qdebug compare --board`` says of it, and ``right`` or ``WRONG``.
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
NETS = {
    "classifier": (
        "resize 96x96 cv2 linear | rgb | mean 123.675,116.28,103.53 std 58.395,57.12,57.375 | nchw",
        "objects",
    ),
    "detector": ("letterbox 320 pad 114 | rgb | /255 | nchw", "scenes"),
    "transformer": (
        "resize 64x64 pil bilinear | rgb | /255 | mean 0.5,0.5,0.5 std 0.5,0.5,0.5 | nchw",
        "textures",
    ),
}
"""Pipeline and folder of pictures of each sample model."""


@dataclass(frozen=True)
class Case:
    """A dump, the finding it must raise (None for a control) and the tensor to be named."""

    name: str
    dump: dumps.Dump
    expected: str | None = None
    tensor: str | None = None


def models_of(net: str) -> tuple[Path, Path]:
    """Float and quantized graph."""
    return SAMPLES / net / "float.onnx", SAMPLES / net / "int8.onnx"


def cases(net: str, photo: Path, other: Path, rng: np.random.Generator) -> Iterator[Case]:
    """All cases of one photo."""
    spec, pair = NETS[net][0], models_of(net)
    sound = dumps.simulated(*pair, photo, spec)
    layers = [name for name, value in sound.items() if value.ndim == 4 and value.size > 64][1:-1]
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
    yield Case("BGR", dumps.simulated(*pair, photo, spec.replace("rgb", "bgr")), "board-input")
    yield Case("another photo", dumps.simulated(*pair, other, spec), "board-input")


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


def main(seeds: list[int], only: str = "") -> int:
    """Print the table.

    Returns:
        How many cases are wrong.
    """
    wrong = 0
    for net in (name for name in NETS if only in name):
        spec, folder = NETS[net]
        photos = sorted((SAMPLES / "pictures" / folder).glob("*.jpg"))
        for seed in seeds:
            rng = np.random.default_rng(seed)
            one, two = (photos[i] for i in rng.choice(len(photos), 2, replace=False))
            for case in cases(net, one, two, rng):
                with tempfile.TemporaryDirectory() as work:
                    place = dumps.write_npz(case.dump, Path(work) / "board.npz")
                    run = qdebug.compare(
                        *models_of(net), one, preprocess=spec, board=place, task="none"
                    )
                right = _is_right(case, run)
                wrong += not right
                told = "; ".join(found.title for found in _told(run)) or "nothing"
                word = "right" if right else "WRONG"
                print(f"{net:11} {seed} {one.stem:12} {case.name:18} {word}  {told}", flush=True)
    return wrong


if __name__ == "__main__":
    words = sys.argv[1:]
    chosen = next((word[7:] for word in words if word.startswith("--only=")), "")
    numbers = [int(word) for word in words if not word.startswith("--")]
    sys.exit(1 if main(numbers or [0], chosen) else 0)
