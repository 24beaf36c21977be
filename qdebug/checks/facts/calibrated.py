"""Ranges that the calibrated range of the input does not account for.

A quantizer of the input that does not fit what is fed may say that the model was calibrated on
other inputs; then the ranges behind it do not fit either. Whether they are such ranges is tried:
the float model is given inputs stretched to the calibrated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdebug.capture.fetch import Fetcher
from qdebug.capture.stats import Range
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.own_values import FILLED, is_cut
from qdebug.checks.facts.where import layers_where
from qdebug.run.model import Finding

Array = npt.NDArray[np.float32]


def guess_of_calibration(finding: Finding) -> bool:
    """Whether a finding says that calibration had other inputs, without knowing which."""
    return finding.slug == "calibration-range" and finding.status == "warn"


def ranges_of_their_own(context: CheckContext) -> frozenset[int]:
    """Layers whose range fits neither what is fed nor inputs that fill the calibrated range.

    Judged on the first sample. Empty where the float model cannot be run on such inputs.
    """
    what_if = context.what_if
    if what_if is None or not what_if.feeds:
        return frozenset()
    feeds = {name: _stretched(context, name, v) for name, v in what_if.feeds[0][0].items()}
    layers = {at: layer.pair.float_tensor for at, layer in enumerate(context.joined) if layer.range}
    fetcher = Fetcher(context.float_graph, what_if.settings[0])
    return layers_where(
        fetcher, layers, feeds, lambda at, values: _is_unfit(context.layer(at).range, values)
    )


def _stretched(context: CheckContext, name: str, value: Array) -> Array:
    """An input over the whole range of its quantizer; as it is where it has none."""
    limits = next((x.range for x in context.joined if x.pair.float_tensor == name), None)
    if limits is None or not np.isfinite(limits.step) or value.dtype != np.float32:
        return value
    if not np.isfinite(value).all():
        return value
    low, high = float(value.min()), float(value.max())
    if limits.is_symmetric:  # no offset is known
        peak = max(-low, high)
        return value * np.float32(limits.high / peak) if peak > 0 else value
    if high <= low:
        return value
    places = (value - np.float32(low)) / np.float32(high - low)
    return np.asarray(limits.low + places * (limits.high - limits.low), np.float32)


def _is_unfit(limits: Range | None, value: Array) -> bool:
    if limits is None or not value.size or not np.isfinite(value).all():
        return False
    held = np.clip(value, limits.low, limits.high)
    is_empty = float(held.max() - held.min()) < FILLED * (limits.high - limits.low)
    return is_empty or is_cut(value, limits)
