"""Horizon's integer arithmetic, layer by layer, from hmct's ``*_quantized_model.onnx``.

Fed with hmct's own codes, every Conv of MobileNetV2 (with a sum fused into it or without) and the
average pool give its codes exactly. All that is shifted out of a Conv's sums is dropped: on average
half a code is lost at every layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.encodings.integer import Codes, Window, by_channel, conv_sums, rescaled
from qdebug.graph.model import Node
from qdebug.graph.qparams import code_range

_WHOLE_SUMS = 32
"""Bits of a result that is the sum itself."""


def replay(node: Node, values: Mapping[str, npt.NDArray[Any]]) -> Codes | None:
    """What Horizon's processor computes in one layer.

    Args:
        node: of the integer graph.
        values: codes by tensor, ``[N, H, W, C]`` as this graph has them, weights and biases
            included.

    Returns:
        Codes, or int32 sums where the layer gives those; None for an operator that is not known.
    """
    if node.op == "HzSQuantizedConv":
        return _channels_last(_conv(node, values))
    if node.op == "HzSQuantizedGlobalAveragePool":
        return _average(node, values[node.inputs[0]].astype(np.int64))
    return None


def _conv(node: Node, values: Mapping[str, npt.NDArray[Any]]) -> Codes:
    attributes = node.attributes
    codes, weight = (_channels_first(values[name]) for name in node.inputs[:2])
    sums = conv_sums(codes, weight, _window(attributes))
    if attributes.get("use_bias", 0):
        bias, shift = (values[name].astype(np.int64) for name in node.inputs[2:4])
        sums = sums + by_channel(bias << shift, 4)
    if attributes.get("use_sumin", 0):
        added = _channels_first(values[node.inputs[4]])
        right = [-shift for shift in attributes["e_shift"]]
        sums = sums + _shifted(added, attributes["e_scale"], right)
    if int(attributes["output_bit"]) == _WHOLE_SUMS:
        return sums
    sums = rescaled(sums, 1, by_channel(attributes["right_shift"], 4), "down")
    made = _shifted(sums, attributes["scale"], attributes["out_shift"])
    low, high = code_range(f"int{attributes['output_bit']}")
    low = 0 if attributes.get("activation") == "relu" else low
    clipped: Codes = np.clip(made, low, high)
    return clipped


def _shifted(codes: Codes, multiplier: Sequence[int], shift: Sequence[int]) -> Codes:
    """``codes * multiplier >> shift`` by channel; what is shifted out is dropped."""
    return rescaled(codes, by_channel(multiplier, 4), by_channel(shift, 4), "down")


def _average(node: Node, codes: Codes) -> Codes:
    attributes = node.attributes
    sums = codes.sum(axis=(1, 2), keepdims=True) >> np.asarray(attributes["accu_right_shift"])
    scale, shift = attributes["output_scale"], attributes["output_right_shift"]
    made = rescaled(sums, np.asarray(scale, np.int64), np.asarray(shift, np.int64), "half_up")
    clipped: Codes = np.clip(made, *code_range(f"int{attributes['output_bit']}"))
    return clipped


def _window(attributes: Mapping[str, Any]) -> Window:
    return Window(
        tuple(attributes["strides"]),
        tuple(attributes["pads"]),
        tuple(attributes["dilations"]),
        int(attributes["group"]),
    )


def _channels_first(codes: npt.NDArray[Any]) -> Codes:
    moved: Codes = codes.astype(np.int64).transpose(0, 3, 1, 2)
    return moved


def _channels_last(codes: Codes) -> Codes:
    moved: Codes = codes.transpose(0, 2, 3, 1)
    return moved
