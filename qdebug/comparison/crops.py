"""Keeps a few values of the layers that findings name, by running those once more."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.capture.crop import Window, crop_window
from qdebug.comparison.keep import Recapture
from qdebug.run.crops import CROPS_NPZ, Crop, CropValues, crops_to_bytes
from qdebug.run.model import Finding, Layer
from qdebug.run.store import MemoryWriter, RunWriter
from qdebug.vocabulary.states import BROKEN

Array = npt.NDArray[Any]
Taken = tuple[Window, CropValues]

MAX_CROPS = 6
"""Layers with a crop: with ``MAX_VALUES`` each, the run grows by 200 KiB at most."""
_PER_FINDING = 2


def with_crops(
    layers: Sequence[Layer],
    findings: Sequence[Finding],
    samples: Sequence[str],
    recapture: Callable[[int], Recapture],
    writer: RunWriter | MemoryWriter,
) -> list[Layer]:
    """The layers, those with a crop saying where it lies; the values go into the run.

    Args:
        layers: in the order of their positions.
        findings: of the run.
        samples: their names.
        recapture: runs layers once more on the sample of a position.
        writer: of the run.
    """
    chosen = crop_layers(layers, findings)
    if not chosen:
        return list(layers)
    worst = layers[chosen[0]].worst_sample
    sample = samples.index(worst) if worst in samples else 0
    taken = _taken(chosen, layers, recapture(sample))
    if taken:
        values = {at: values for at, (_, values) in taken.items()}
        writer.add(CROPS_NPZ, crops_to_bytes(values))
    return [
        dataclasses.replace(x, crop=Crop(samples[sample], *taken[at][0])) if at in taken else x
        for at, x in enumerate(layers)
    ]


def crop_layers(layers: Sequence[Layer], findings: Sequence[Finding]) -> list[int]:
    """Positions of the layers to look at: of each finding, the one it begins with and the worst.

    Failed findings go first. A finding may begin with a sound neighbour of what is broken.
    """
    chosen: dict[int, None] = {}
    for status in ("fail", "warn"):
        for finding in findings:
            known = [at for at in finding.layers if 0 <= at < len(layers)]
            compared = [at for at in known if layers[at].state != "not_compared"]
            on_board = finding.gate == "board"  # what both models have there explains nothing
            if finding.status == status and compared and not on_board:
                worst = sorted(compared[1:], key=lambda at: _badness(layers[at]))
                chosen |= dict.fromkeys([compared[0], *worst][:_PER_FINDING])
    return list(chosen)[:MAX_CROPS]


def _badness(layer: Layer) -> tuple[bool, float, int]:
    """Sort key, worst first: broken, then by the worst channel."""
    worst = layer.worst_channel.sqnr_db if layer.worst_channel else math.inf
    return layer.state not in BROKEN, -math.inf if math.isnan(worst) else worst, layer.index


def _taken(
    chosen: Sequence[int], layers: Sequence[Layer], recapture: Recapture
) -> Mapping[int, Taken]:
    """Window and values of each layer; one whose two sides differ in shape has none."""
    pending: dict[int, Array] = {}
    found: dict[int, Taken] = {}

    def receive(_: int, at: int, side: str, value: Array) -> None:
        if side == "float":
            pending[at] = value.copy()
            return
        f = pending.pop(at)
        if f.size and f.size == value.size and _long(f) == _long(value):
            found[at] = _cut(f, value.reshape(f.shape), layers[at].channel_axis)

    recapture(sorted(chosen), receive)
    return dict(sorted(found.items()))


def _long(value: Array) -> list[int]:
    return [length for length in value.shape if length > 1]


def _cut(f: Array, q: Array, channel_axis: int | None) -> Taken:
    start, size = crop_window(f, q, channel_axis)
    place = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
    long = [n for n in size if n > 1]
    shape = (1,) * (2 - len(long)) + tuple(long)
    sides = [np.array(v[place], np.float32).reshape(shape) for v in (f, q)]
    return (start, size), CropValues(*sides)
