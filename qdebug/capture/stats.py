"""What is kept of a pair while its tensors stream by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.graph.pairs import Quantizer
from qdebug.metrics.histogram import PairHistogram, strided_sample
from qdebug.metrics.moments import Moments, measure

Array = npt.NDArray[Any]

SAMPLED_VALUES = 32768
"""Values of a layer, over all samples, that its histogram and its count of codes look at."""


@dataclass(frozen=True)
class Range:
    """Real values that a per-tensor quantizer can represent, and its step."""

    low: float
    high: float
    step: float
    zero_point: int
    codes: int

    @classmethod
    def of(cls, quantizer: Quantizer | None) -> Range | None:
        """The range of a per-tensor integer quantizer; None for any other."""
        if quantizer is None or quantizer.scale.size != 1 or quantizer.dtype.startswith("float"):
            return None
        step, zero = float(quantizer.scale.reshape(())), int(quantizer.zero_point.reshape(()))
        codes = quantizer.high - quantizer.low + 1
        low, high = (quantizer.low - zero) * step, (quantizer.high - zero) * step
        return cls(low, high, step, zero, codes)

    def is_left_by(self, low: float, high: float) -> bool:
        """Whether values between two extremes are clipped: beyond half a step past an end.

        Nearer than that the error is no larger than rounding's.
        """
        return high > self.high + self.step / 2 or low < self.low - self.step / 2

    def clipped(self, float_value: Array, quant_value: Array) -> tuple[float, float]:
        """How many float values are clipped, and the sum of their squared errors.

        Args:
            float_value: float32 array.
            quant_value: float32 array of the same size.
        """
        from qdebug.metrics import kernels  # compiled when first imported

        f, q = (np.ascontiguousarray(value).reshape(-1) for value in (float_value, quant_value))
        return kernels.clipped(f, q, self.low - self.step / 2, self.high + self.step / 2)

    def code_bits(self, values: Array) -> npt.NDArray[np.bool_]:
        """Which codes occur among real values (float32, flat), by code minus the lowest one."""
        from qdebug.metrics import kernels  # compiled when first imported

        seen = np.zeros(self.codes, np.bool_)
        if self.step > 0 and np.isfinite(self.step):
            kernels.mark_codes(values, self.low, self.step, seen)
        return seen


class LayerStats:
    """Accumulates one pair over all samples.

    Args:
        quantizer: at this tensor, if any.
        channel_axis: in the float layout, if any.
        samples: number of samples to come; each contributes its part of the sampled values.
        prefix: compare the common part of values whose length along one axis differs, as that of an
            output does whose length depends on values.
    """

    def __init__(
        self,
        quantizer: Quantizer | None,
        channel_axis: int | None,
        samples: int,
        *,
        prefix: bool = False,
    ) -> None:
        self.range = Range.of(quantizer)
        self.channel_axis = channel_axis
        self.shape: tuple[int, ...] = ()
        self.accumulated: Moments | None = None
        self.per_sample: list[Moments] = []
        self.local: Moments | None = None
        self.local_clipped_ee = 0.0
        self.clipped = 0
        self.histogram = PairHistogram()
        self.codes = np.zeros(self.range.codes if self.range else 0, np.bool_)
        self.mismatch: str | None = None
        self.lengths: tuple[int, int] | None = None
        """Lengths of the two sides in the last sample in which they differ."""
        self._prefix = prefix
        self._values = max(1024, SAMPLED_VALUES // max(1, samples))

    def add(self, float_value: Array, quant_value: Array) -> None:
        """Include one sample's accumulated pair, both float32."""
        float_value, quant_value = self._fitted(float_value, quant_value)
        if self.mismatch is not None:
            return
        self.shape = self.shape or float_value.shape
        moments = measure(float_value, quant_value, self._axis_for(float_value))
        if self.accumulated is None:
            self.accumulated = moments
        elif len(self.accumulated) == len(moments):
            self.accumulated.add(moments)
        else:  # the channel count changes with the sample: keep the whole-tensor sums only
            self.accumulated, self.channel_axis = self.accumulated.total(), None
            self.accumulated.add(moments.total())
        self.per_sample.append(moments.total())
        self.clipped += int(self._clipped(float_value, quant_value, self.per_sample[-1])[0])
        self._count_values(float_value, quant_value)

    def add_local(self, float_value: Array, quant_value: Array) -> None:
        """Include one sample's output of the quant layer fed with float inputs.

        The same sample's accumulated pair has been added before.
        """
        float_value, quant_value = self._fitted(float_value, quant_value)
        if self.mismatch is not None:
            return
        moments = measure(float_value, quant_value)
        if self.local is None:
            self.local = moments
        else:
            self.local.add(moments)
        self.local_clipped_ee += self._clipped(float_value, quant_value, moments)[1]

    def _fitted(self, float_value: Array, quant_value: Array) -> tuple[Array, Array]:
        """Both in one shape, where only unit dimensions or one length differ."""
        if float_value.shape == quant_value.shape:
            return float_value, quant_value
        squeezed = [tuple(d for d in v.shape if d != 1) for v in (float_value, quant_value)]
        if squeezed[0] == squeezed[1]:
            return float_value, quant_value.reshape(float_value.shape)
        axis = _differing_axis(float_value.shape, quant_value.shape) if self._prefix else None
        if axis is not None:
            return self._cut(float_value, quant_value, axis)
        self.mismatch = f"shapes differ: {list(float_value.shape)} and {list(quant_value.shape)}"
        return float_value, quant_value

    def _cut(self, float_value: Array, quant_value: Array, axis: int) -> tuple[Array, Array]:
        self.lengths = float_value.shape[axis], quant_value.shape[axis]
        common = (*(slice(None),) * axis, slice(min(self.lengths)))
        return np.ascontiguousarray(float_value[common]), np.ascontiguousarray(quant_value[common])

    def _axis_for(self, value: Array) -> int | None:
        axis = self.channel_axis
        return axis if axis is not None and axis < value.ndim else None

    def _clipped(
        self, float_value: Array, quant_value: Array, moments: Moments
    ) -> tuple[float, float]:
        """How many float values are clipped, and the sum of their squared errors."""
        extremes = float(moments.min_f.min()), float(moments.max_f.max())
        if self.range is None or not self.range.is_left_by(*extremes):
            return 0, 0
        return self.range.clipped(float_value, quant_value)

    def _count_values(self, float_value: Array, quant_value: Array) -> None:
        if not float_value.size:
            return
        f, q = (strided_sample(v, self._values) for v in (float_value, quant_value))
        self.histogram.add(f, q)
        if self.range is not None:
            self.codes |= self.range.code_bits(q)


def _differing_axis(first: tuple[int, ...], second: tuple[int, ...]) -> int | None:
    """The only axis along which two shapes differ; None where that is not so."""
    if len(first) != len(second):
        return None
    axes = [at for at, (a, b) in enumerate(zip(first, second, strict=True)) if a != b]
    return axes[0] if len(axes) == 1 else None
