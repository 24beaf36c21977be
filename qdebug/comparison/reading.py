"""The board's final answers beside the outputs that both models give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qdebug.graph.pairs import Pairing
from qdebug.preprocess import Sample
from qdebug.reading.watch import ReadingWatch


def watched(predictions: str | Path, samples: Sequence[Sample], pairing: Pairing) -> ReadingWatch:
    """What follows the outputs beside the answers that were given.

    Args:
        predictions: what ``--predictions`` names.
        samples: what both models run on.
        pairing: of the graphs, for the scales of quantized outputs.
    """
    return ReadingWatch(Path(predictions), samples, scales_by_name(pairing))


def scales_by_name(pairing: Pairing) -> dict[str, tuple[float, int]]:
    """Scale and zero point of the tensors whose quantizer has one for all channels."""
    scales = scales_of(pairing)
    return {pairing.pairs[at].float_tensor: known for at, known in scales.items()}


def ends_of(pairing: Pairing) -> dict[int, tuple[float, float]]:
    """Least and greatest value that each quantizer of one scale holds, by position."""
    scales = scales_of(pairing)
    found = {}
    for at, (scale, zero) in scales.items():
        quantizer = pairing.pairs[at].quantizer
        assert quantizer is not None
        found[at] = (quantizer.low - zero) * scale, (quantizer.high - zero) * scale
    return found


def scales_of(pairing: Pairing) -> dict[int, tuple[float, int]]:
    """The same by position."""
    found = {}
    for at, pair in enumerate(pairing.pairs):
        quantizer = pair.quantizer
        if quantizer is not None and np.size(quantizer.scale) == 1:
            zero_point = quantizer.zero_point
            zero = int(np.reshape(zero_point, -1)[0]) if zero_point is not None else 0
            found[at] = (float(np.reshape(quantizer.scale, -1)[0]), zero)
    return found
