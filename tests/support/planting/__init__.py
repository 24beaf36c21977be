"""Plants faults into any pair of a float ONNX model and its QDQ twin.

Every plant takes the two models and inputs to calibrate by, and returns both, changed where the
fault wants it; the quant model differs from the sound one in exactly one thing, so that curing the
fault gives the sound model back, and with it the true gain.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx

from tests.support.planting.blocks import Feeds
from tests.support.planting.heads import mixed_head
from tests.support.planting.masks import mask_added, mask_chosen, mask_fits
from tests.support.planting.norms import norm_in_16_bits, norm_in_pieces
from tests.support.planting.outliers import outlier_channel
from tests.support.planting.outputs import dead_in_both, output_grown, output_scale
from tests.support.planting.planted import Planted
from tests.support.planting.ranges import dq_rescaled, dq_shifted, range_cut, range_stretched
from tests.support.planting.weights import (
    bias_clipped,
    bias_zeroed,
    channel_rescaled,
    channel_zeroed,
    other_run,
    weight_rolled,
)

Plant = Callable[[onnx.ModelProto, onnx.ModelProto, Feeds], Planted]


def _as_it_is(change: Callable[[onnx.ModelProto, onnx.ModelProto], Planted]) -> Plant:
    """A plant that changes what is there and has nothing to calibrate."""
    return lambda float_model, quant, _feeds: change(float_model, quant)


PLANTS: dict[str, Plant] = {
    "10 mixed head": _as_it_is(mixed_head),
    "12 near-zero weights": _as_it_is(bias_clipped),
    "12 all-zero channel": _as_it_is(channel_zeroed),
    "13 outlier channel": _as_it_is(outlier_channel),
    "14 norm in pieces": norm_in_pieces,
    "14 norm in 16 bits": norm_in_16_bits,
    "14 mask of -1e12": mask_added,
    "14 mask of -FLT_MAX": mask_chosen,
    "14 mask of -30": mask_fits,
    "15 output scale x2000": output_scale,
    "15 output x2000, two codes off": output_grown,
    "15 dead ReLU in both": _as_it_is(dead_in_both),
    "16 another training run": _as_it_is(other_run),
    "17 DQ scale x1.25": _as_it_is(dq_rescaled),
    "17 DQ zero point +12": _as_it_is(dq_shifted),
    "18 bias zeroed": _as_it_is(bias_zeroed),
    "18 weight rolled": _as_it_is(weight_rolled),
    "18 channel scale x4": _as_it_is(channel_rescaled),
    "19 range cut": _as_it_is(range_cut),
    "range stretched": _as_it_is(range_stretched),
}
"""Every fault and every sound change, by its number in the bench and its name."""
CONTROLS = (
    "14 norm in 16 bits",
    "14 mask of -30",
    "15 output x2000, two codes off",
    "15 dead ReLU in both",
)
"""Those that change a model soundly: nothing is wrong with it."""

__all__ = ["CONTROLS", "PLANTS", "Feeds", "Plant", "Planted", "bias_clipped"]
