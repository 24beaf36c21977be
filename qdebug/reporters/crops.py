"""A crop of a layer, ready to be drawn: float, quant and difference, and one against the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdebug.run.crops import Crop, CropValues, read_crop
from qdebug.run.model import Layer, Run
from qdebug.vocabulary.numbers import number

FloatArray = npt.NDArray[np.float64]
_FOLDED = 64
"""Values a line of what has one axis only."""


@dataclass(frozen=True)
class ShownCrop:
    """What is drawn.

    Where channels of very different ranges lie beside each other, as boxes and scores do, each is
    drawn in shares of its own largest value: otherwise only the largest would be seen.

    Attributes:
        where: the place in words.
        scale: what the colours and both axes mean, in words.
        reference: the float side, float64 ``[rows, columns]`` in -1..1; NaN where nothing is.
        test: the quant side, the same.
        values: as they are.
    """

    where: str
    scale: str
    reference: FloatArray
    test: FloatArray
    values: CropValues

    @property
    def difference(self) -> FloatArray:
        """Quant minus float, in the same shares; NaN between infinities."""
        with np.errstate(invalid="ignore"):
            return self.test - self.reference

    @property
    def largest_difference(self) -> float:
        """Largest share among the finite ones."""
        finite = self.difference[np.isfinite(self.difference)]
        return float(np.abs(finite).max(initial=0.0))

    @property
    def folded_values(self) -> tuple[FloatArray, FloatArray]:
        """The values themselves, in the places in which they are drawn."""
        f, q = (np.asarray(v, np.float64) for v in (self.values.float, self.values.quant))
        return _folded(f), _folded(q)

    def density(self, bins: int) -> FloatArray:
        """Counts ``[bins, bins]`` over -1..1 on both axes, quant up, float across."""
        inside = np.isfinite(self.reference) & np.isfinite(self.test)
        f, q = (np.clip(side[inside], -1, 1) for side in (self.reference, self.test))
        counts, _, _ = np.histogram2d(q, f, bins, ((-1, 1), (-1, 1)))
        return counts[::-1]


def shown_crop(run: Run, layer: Layer) -> ShownCrop | None:
    """The crop of a layer; None where the run keeps none.

    Raises:
        RunError: it is damaged.
    """
    if layer.crop is None:
        return None
    values = read_crop(run.files, layer.index)
    axis = layer.channel_axis
    down = layer.crop.rows_are_channels(axis)
    f, q = (np.asarray(v, np.float64) for v in (values.float, values.quant))
    peaks = _peaks(f, q, down)
    return ShownCrop(
        where=_where(layer.crop, axis),
        scale=_scale(peaks, down),
        reference=_folded(f / peaks),
        test=_folded(q / peaks),
        values=values,
    )


def _peaks(f: FloatArray, q: FloatArray, down: bool | None) -> FloatArray:
    """Largest magnitude of each channel, or of all; 1 where all is zero."""
    axis = None if down is None or min(f.shape) == 1 else int(down)
    sizes = [np.where(np.isfinite(side), np.abs(side), 0.0) for side in (f, q)]
    found = np.max(np.maximum(*sizes), axis=axis, keepdims=True)
    return np.asarray(np.where(found > 0, found, 1.0))


def _scale(peaks: FloatArray, down: bool | None) -> str:
    if peaks.size == 1:
        return f"-{number(float(peaks.item()))} to {number(float(peaks.item()))}"
    span = f"{number(float(peaks.min()))} to {number(float(peaks.max()))}"
    which = "row" if down else "column"
    return f"each channel ({which}) in shares of its largest value, which is {span}"


def _folded(plane: FloatArray) -> FloatArray:
    """What has one row or column only, in lines of ``_FOLDED``."""
    if min(plane.shape) > 1 or plane.size <= _FOLDED:
        return plane
    flat = plane.reshape(-1)
    padded = np.full(-(-flat.size // _FOLDED) * _FOLDED, np.nan)
    padded[: flat.size] = flat
    return padded.reshape(-1, _FOLDED)


def _where(crop: Crop, channel_axis: int | None) -> str:
    channel = crop.channel(channel_axis)
    parts = [f"channel {channel}"] if channel is not None else []
    for axis, (first, length) in enumerate(zip(crop.start, crop.size, strict=False)):
        if length > 1:
            word = "channels" if axis == channel_axis else f"axis {axis}:"
            parts.append(f"{word} {first} to {first + length - 1}")
        elif first and axis != channel_axis:
            parts.append(f"axis {axis}: {first}")
    return ", ".join([*parts, f"sample {crop.sample}"])
