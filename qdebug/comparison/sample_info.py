"""What a run keeps of a sample: its hash, the range of its inputs, small pictures."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.comparison.pictures import MAX_PICTURES, input_picture, png, source_picture
from qdebug.comparison.sides import Side, fed_alike
from qdebug.preprocess import Sample
from qdebug.run.model import InputStats, SampleInfo
from qdebug.run.store import MemoryWriter, RunWriter

Array = npt.NDArray[Any]


def sample_info(
    number: int,
    sample: Sample,
    feeds: tuple[dict[str, Array], dict[str, Array]],
    sides: tuple[Side, Side],
    fed: npt.NDArray[np.uint8] | None,
    writer: RunWriter | MemoryWriter,
) -> SampleInfo:
    """Describe a sample; its pictures go into the run.

    Args:
        number: its place among all.
        sample: the sample.
        feeds: what both models are fed with.
        sides: float and quant.
        fed: what was really fed in place of the first sample, as a picture.
        writer: of the run.
    """
    info = SampleInfo(
        name=sample.name,
        sha256=sample.sha256,
        inputs=tuple(_input_stats(name, value) for name, value in feeds[0].items()),
    )
    if number >= MAX_PICTURES:
        return info
    pictures = {
        "thumb": input_picture(next(iter(feeds[0].values())), sides[0].contract.spec),
        "source": source_picture(sample),
        "thumb_fed": None if number else fed,
    }
    if not fed_alike(*sides):
        quant_value = next(iter(feeds[1].values()))
        pictures["thumb_quant"] = input_picture(quant_value, sides[1].contract.spec)
    stored: dict[str, Any] = {}
    for kind, picture in pictures.items():
        if picture is not None:
            stored[kind] = f"thumbs/{number:04d}.{kind}.png"
            writer.add(stored[kind], png(picture))
    return dataclasses.replace(info, **stored)


def _input_stats(name: str, value: Array) -> InputStats:
    if value.size == 0 or value.dtype.kind not in "fiub":
        return InputStats(name, str(value.dtype), value.shape, math.nan, math.nan, math.nan)
    low, high = float(value.min()), float(value.max())
    mean = float(np.mean(value, dtype=np.float64))
    return InputStats(name, str(value.dtype), value.shape, low, high, mean)
