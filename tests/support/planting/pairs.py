"""Pairs that faults are planted into."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from tests.support.feeds import prepared
from tests.support.planting import PLANTS, Feeds, Planted

CALIBRATION = 4
"""Pictures that what is planted is calibrated by."""
_SAMPLES = Path(__file__).resolve().parents[3] / "sample_models"


@dataclass(frozen=True)
class Pair:
    """A sound pair to plant into.

    Attributes:
        name: for the table.
        float_model: file.
        quant_model: file.
        spec: preprocessing.
        pictures: inputs.
    """

    name: str
    float_model: Path
    quant_model: Path
    spec: str
    pictures: tuple[Path, ...]


def sample_pairs() -> list[Pair]:
    """The sound pairs of this repository that can be planted into."""
    pictures = _SAMPLES / "pictures"
    classifier = (
        "resize 96x96 cv2 linear | rgb | mean 123.675,116.28,103.53 std 58.395,57.12,57.375 | nchw"
    )
    return [
        Pair(
            "sample classifier",
            _SAMPLES / "classifier" / "float.onnx",
            _SAMPLES / "classifier" / "int8.onnx",
            classifier,
            tuple(sorted((pictures / "objects").glob("*.jpg"))),
        ),
        Pair(
            "sample detector",
            _SAMPLES / "detector" / "float.onnx",
            _SAMPLES / "detector" / "int8.onnx",
            "letterbox 320 pad 114 | rgb | /255 | nchw",
            tuple(sorted((pictures / "scenes").glob("scene_*.jpg"))),
        ),
    ]


def plant(pair: Pair, fault: str) -> Planted:
    """Plant a fault into a pair.

    Raises:
        ValueError, IndexError: the models lack what the fault needs.
    """
    float_model = onnx.load(pair.float_model)
    return PLANTS[fault](float_model, onnx.load(pair.quant_model), feeds_of(pair, float_model))


def feeds_of(pair: Pair, float_model: onnx.ModelProto) -> Feeds:
    """What the float model takes for the first few pictures of a pair."""
    constants = {tensor.name for tensor in float_model.graph.initializer}
    entry = next(i.name for i in float_model.graph.input if i.name not in constants)
    return [{entry: value} for value in prepared(pair.pictures[:CALIBRATION], pair.spec)]
