"""Weights rounded anew: on the grid that they lie on already, or with scales that fit them.

A float model that was made from 8-bit codes loses nothing on the grid of these codes, and a good
deal on another one. Where a quantizer's scales are wider than its weights need, narrower ones do as
well. Codes come from the float model's weights; what a layer's quantizer can express is kept to:
its type, its zero points where they are symmetric, and one scale or one a channel.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.ceiling import ROUNDING
from qdebug.analysis.weight_grid import grid_of
from qdebug.cure.network import Network
from qdebug.cure.sites import Weight
from qdebug.graph.pairs import Quantizer

Array = npt.NDArray[Any]

CHANNEL = "channel"
"""Form of weights with a scale for each output channel."""
_FIRST_PER_CHANNEL = 13
"""The operator set in which ``DequantizeLinear`` learns an axis."""
_BYTES = ("int8", "uint8")
_WIDE = "int32"
_LESS = 0.5
"""A quantizer is replaced where at most this share of its squared error is left; by judgement."""
_REDUCED = 64
"""Largest code, counted from zero, where a model keeps to 7 bits: processors without VNNI saturate
sums of two products of 8 bits (ONNX Runtime's ``reduce_range``)."""
_ALL = 255
"""Most steps on one side of zero that 8 bits have."""


@dataclass(frozen=True)
class Rounded:
    """Weights of one layer, rounded anew.

    Attributes:
        quantizer: that they are rounded with.
        codes: of the quantizer's type, in the quant graph's layout.
        numbers: what the codes stand for, float32.
    """

    quantizer: Quantizer
    codes: Array
    numbers: Array


def rounded_anew(network: Network, forms: Collection[str] = ()) -> dict[str, Rounded]:
    """Weights that another grid holds with clearly less error, by ``Weight.tensor``.

    Weights that are not the float model's, rounded, are left: that is a fault to be named.

    Args:
        network: the pair of graphs.
        forms: what the target can express beside the form that a layer has: ``channel``.
    """
    weights = [w for w in network.weights if _is_rounded(w)]
    most = _most_steps(weights)
    per_channel = CHANNEL in forms and network.quant_graph.opset >= _FIRST_PER_CHANNEL
    axes = _channel_axes(network) if per_channel else {}
    found = {}
    for weight in weights:
        better = _better(weight, most, axes.get(weight.tensor))
        if better is not None:
            found[weight.tensor] = better
    return found


def requantized(network: Network, references: Mapping[str, Array]) -> dict[str, Rounded]:
    """Other weights by quantizers of the form that layers have, with scales that just hold them.

    Args:
        network: the pair of graphs.
        references: float32 by ``Weight.tensor``, of the shape that these have.
    """
    most = _most_steps([w for w in network.weights if _is_rounded(w)])
    found = {}
    for weight in network.weights:
        if weight.tensor in references and has_form(weight):
            assert weight.quantizer is not None
            value = np.asarray(references[weight.tensor], np.float32)
            wide = value.astype(np.float64)
            is_wide = weight.quantizer.dtype == _WIDE
            fitting = (
                _along_with(wide, weight) if is_wide else _fitting(wide, weight.quantizer, most)
            )
            found[weight.tensor] = _round(replace(weight, reference=value), fitting)
    return found


def has_form(weight: Weight) -> bool:
    """Whether a weight has 8 or 32 bits, with one scale or one a channel."""
    quantizer = weight.quantizer
    known = (*_BYTES, _WIDE)
    return quantizer is not None and quantizer.dtype in known and not quantizer.block_size


def _along_with(values: Array, weight: Weight) -> Quantizer:
    """A quantizer of 32 bits whose scale grows or shrinks with the values."""
    assert weight.quantizer is not None
    before, after = float(np.abs(weight.given).max()), float(np.abs(values).max())
    ratio = after / before if before and after else 1.0
    scale = weight.quantizer.scale * np.float32(ratio)
    return replace(weight.quantizer, scale=np.asarray(scale, np.float32))


def numbers_of(rounded: Mapping[str, Rounded]) -> dict[str, Array]:
    """Their numbers by ``Weight.tensor``."""
    return {tensor: value.numbers for tensor, value in rounded.items()}


def _is_rounded(weight: Weight) -> bool:
    """Whether these are the float model's weights, rounded to 8 bits or cut at the last code."""
    quantizer, reference = weight.quantizer, weight.reference
    if weight.role != "weight" or quantizer is None or reference is None:
        return False
    if quantizer.dtype not in _BYTES or quantizer.block_size or not np.isfinite(reference).all():
        return False
    step, zero = (
        _along(quantizer.scale, quantizer, weight),
        _along(quantizer.zero_point, quantizer, weight),
    )
    if not (np.isfinite(step).all() and (step > 0).all()):
        return False
    low, high = (quantizer.low - zero) * step, (quantizer.high - zero) * step
    wanted = np.clip(reference, low, high)
    return bool((np.abs(wanted - weight.given) <= ROUNDING * step).all())


def _along(value: Array, quantizer: Quantizer, weight: Weight) -> Array:
    """A quantizer's parameter, shaped to go with its weights; float64."""
    wide = np.asarray(value, np.float64)
    if wide.ndim == 0 or quantizer.axis is None:
        return wide.reshape(())
    shape = [1] * weight.given.ndim
    shape[quantizer.axis] = -1
    return wide.reshape(shape)


def _most_steps(weights: Collection[Weight]) -> int:
    """How far from zero codes go: 7 bits where no layer has more, and most have all of these."""
    reached = np.array([_reached(weight) for weight in weights])
    if not reached.size or reached.max() >= _REDUCED + 1:
        return _ALL
    return _REDUCED if np.median(reached) >= _REDUCED - 1 else _ALL


def _reached(weight: Weight) -> float:
    """Steps on each side of zero that a weight's codes take; half their span where zero moves."""
    assert weight.quantizer is not None
    codes = weight.given / _along(weight.quantizer.scale, weight.quantizer, weight)
    if _is_symmetric(weight.quantizer):
        return float(np.abs(codes).max(initial=0.0))
    return float(codes.max(initial=0.0) - codes.min(initial=0.0)) / 2


def _channel_axes(network: Network) -> dict[str, int]:
    """Axis of the output channels of weights that Convs read."""
    graph = network.quant_graph
    return {
        weight.tensor: 0
        for weight in network.weights
        for reading in weight.readings
        if [(node.op, slot) for node, slot in graph.consumers.get(reading, ())] == [("Conv", 1)]
    }


def _better(weight: Weight, most: int, axis: int | None) -> Rounded | None:
    """The candidate that leaves the least squared error, if that is clearly less."""
    assert weight.quantizer is not None
    assert weight.reference is not None
    tried = [_round(weight, q) for q in _candidates(weight, weight.quantizer, most, axis)]
    left = [float(((weight.reference - r.numbers.astype(np.float64)) ** 2).sum()) for r in tried]
    given = float(((weight.reference - weight.given.astype(np.float64)) ** 2).sum())
    if not tried or min(left) > _LESS * given or given == 0:
        return None
    return tried[int(np.argmin(left))]


def _candidates(
    weight: Weight, given: Quantizer, most: int, axis: int | None
) -> Iterator[Quantizer]:
    """Quantizers of what the target can express, the given form first."""
    assert weight.reference is not None
    values = weight.reference.astype(np.float64)
    yield _fitting(values, given, most)
    if axis is not None and given.axis is None:
        channels = np.ones(values.shape[axis])
        yield _fitting(
            values,
            replace(
                given,
                axis=axis,
                scale=channels.astype(np.float32),
                zero_point=(given.zero_point + 0 * channels).astype(np.int64),
            ),
            most,
        )
    grid = grid_of(values)
    on_grid = _on_grid(values, given, grid.step, most) if grid is not None else None
    if on_grid is not None:
        yield on_grid


def _ends(values: Array, quantizer: Quantizer) -> tuple[Array, Array]:
    """Lowest and highest number for each scale, zero inside."""
    if quantizer.axis is None:
        low, high = values.min(), values.max()
    else:
        others = tuple(at for at in range(values.ndim) if at != quantizer.axis % values.ndim)
        low, high = values.min(axis=others), values.max(axis=others)
    return np.minimum(low, 0.0), np.maximum(high, 0.0)


def _is_symmetric(quantizer: Quantizer) -> bool:
    middle = 0 if quantizer.dtype == "int8" else 128
    return bool((quantizer.zero_point == middle).all())


def _fitting(values: Array, given: Quantizer, most: int) -> Quantizer:
    """Scales that just hold the weights, of the given form."""
    low, high = _ends(values, given)
    if _is_symmetric(given):
        middle = int(given.zero_point.reshape(-1)[0])
        scale = np.maximum(np.maximum(-low, high) / min(given.high - middle, most), _SMALLEST)
        return replace(given, scale=np.asarray(scale, np.float32))
    scale = np.maximum((high - low) / min(given.high - given.low, 2 * most), _SMALLEST)
    zero = np.clip(np.rint(given.low - low / scale), given.low, given.high)
    return replace(
        given, scale=np.asarray(scale, np.float32), zero_point=np.asarray(zero, np.int64)
    )


_SMALLEST = 1e-12
"""Weights that are all zero still need a scale."""


def _on_grid(values: Array, given: Quantizer, step: float, most: int) -> Quantizer | None:
    """The weights' own grid in the given form; None where its codes do not reach."""
    codes = np.rint(values / step)
    if np.abs(codes).max() > most:
        return None
    zero = given.zero_point
    if not _is_symmetric(given):
        zero = np.asarray(given.low - min(int(codes.min()), 0) + 0 * zero, np.int64)
    if codes.min() + zero.min() < given.low or codes.max() + zero.max() > given.high:
        return None
    return replace(given, scale=np.full(given.scale.shape, step, np.float32), zero_point=zero)


def _round(weight: Weight, quantizer: Quantizer) -> Rounded:
    assert weight.reference is not None
    scale = _along(quantizer.scale, quantizer, weight)
    zero = _along(quantizer.zero_point, quantizer, weight)
    codes = np.clip(np.rint(weight.reference / scale) + zero, quantizer.low, quantizer.high)
    numbers = ((codes - zero) * scale).astype(np.float32)
    return Rounded(quantizer, codes.astype(quantizer.dtype), numbers)
