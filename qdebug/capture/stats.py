"""What is kept of a pair while its tensors stream by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.graph.pairs import Quantizer
from qdebug.metrics.histogram import PairHistogram, strided_sample
from qdebug.metrics.moments import Moments, measure_all

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

    @property
    def is_symmetric(self) -> bool:
        """Whether it reaches as far below zero as above it: an asymmetric one is no choice."""
        return abs(self.low + self.high) <= 1.5 * self.step

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


@dataclass(frozen=True)
class SamplePart:
    """What one sample gives of a pair; travels between processes.

    Attributes:
        shape: of the float value.
        moments: a row for every channel; None where the two cannot be compared.
        clipped: how many float values are clipped.
        values: sampled values of both sides, float32 ``[n]`` each.
        mismatch: why the two cannot be compared.
        lengths: of the two sides, where only their common part is.
    """

    shape: tuple[int, ...]
    moments: Moments | None = None
    clipped: int = 0
    values: tuple[Array, Array] | None = None
    mismatch: str | None = None
    lengths: tuple[int, int] | None = None


@dataclass(frozen=True)
class LocalPart:
    """What one sample gives of a layer that was fed with float inputs.

    Attributes:
        moments: one row; None where the two cannot be compared.
        clipped_ee: part of ``sum e^2`` from clipped values.
        mismatch: why the two cannot be compared.
    """

    moments: Moments | None
    clipped_ee: float = 0.0
    mismatch: str | None = None


@dataclass(frozen=True)
class Fitted:
    """The two sides of one sample's pair in one shape, where they can be compared.

    Attributes:
        float_value: float32.
        quant_value: float32.
        channel_axis: of both, if any.
        lengths: of the two sides, where only their common part is.
        mismatch: why the two cannot be compared.
    """

    float_value: Array
    quant_value: Array
    channel_axis: int | None = None
    lengths: tuple[int, int] | None = None
    mismatch: str | None = None


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
        self.channel_axis = self._axis = channel_axis
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

    def part_of(self, fitted: Fitted, moments: Moments, *, keep: bool) -> SamplePart:
        """What one sample's accumulated pair gives, by its moments.

        Args:
            fitted: the pair.
            moments: of it.
            keep: let the part outlive the two arrays.
        """
        f, q = fitted.float_value, fitted.quant_value
        clipped = int(self._clipped(f, q, moments)[0])
        values = None
        if f.size:
            sampled = strided_sample(f, self._values), strided_sample(q, self._values)
            values = (sampled[0].copy(), sampled[1].copy()) if keep else sampled
        return SamplePart(f.shape, moments, clipped, values, lengths=fitted.lengths)

    def include(self, part: SamplePart) -> None:
        """Include what one sample gave; samples come in their order, whoever measured them."""
        self.mismatch = self.mismatch or part.mismatch
        moments = part.moments
        if self.mismatch is not None or moments is None:
            return
        self.lengths = part.lengths or self.lengths
        self.shape = self.shape or part.shape
        if self.accumulated is None:
            self.accumulated = moments
        elif len(self.accumulated) == len(moments):
            self.accumulated.add(moments)
        else:  # the channel count changes with the sample: keep the whole-tensor sums only
            self.accumulated, self.channel_axis = self.accumulated.total(), None
            self.accumulated.add(moments.total())
        self.per_sample.append(moments.total())
        self.clipped += part.clipped
        if part.values is not None:
            f, q = part.values
            self.histogram.add(f, q)
            if self.range is not None:
                self.codes |= self.range.code_bits(q)

    def local_part_of(self, fitted: Fitted, moments: Moments) -> LocalPart:
        """What one sample's output of the quant layer gives that was fed with float inputs."""
        clipped = self._clipped(fitted.float_value, fitted.quant_value, moments)
        return LocalPart(moments, clipped[1])

    def include_local(self, part: LocalPart) -> None:
        """Include what one sample gave; its accumulated part has been included before."""
        self.mismatch = self.mismatch or part.mismatch
        if self.mismatch is not None or part.moments is None:
            return
        if self.local is None:
            self.local = part.moments
        else:
            self.local.add(part.moments)
        self.local_clipped_ee += part.clipped_ee

    def fitted(self, float_value: Array, quant_value: Array) -> Fitted:
        """Both in one shape, where only unit dimensions or one length differ."""
        shapes = float_value.shape, quant_value.shape
        axis = self._axis
        if shapes[0] == shapes[1]:
            return Fitted(float_value, quant_value, axis)
        squeezed = [tuple(d for d in shape if d != 1) for shape in shapes]
        if squeezed[0] == squeezed[1]:
            return Fitted(float_value, quant_value.reshape(shapes[0]), axis)
        along = _differing_axis(*shapes) if self._prefix else None
        if along is None:
            reason = f"shapes differ: {list(shapes[0])} and {list(shapes[1])}"
            return Fitted(float_value, quant_value, mismatch=reason)
        lengths = shapes[0][along], shapes[1][along]
        common = (*(slice(None),) * along, slice(min(lengths)))
        f, q = (np.ascontiguousarray(value[common]) for value in (float_value, quant_value))
        return Fitted(f, q, axis, lengths)

    def _clipped(
        self, float_value: Array, quant_value: Array, moments: Moments
    ) -> tuple[float, float]:
        """How many float values are clipped, and the sum of their squared errors."""
        extremes = float(moments.min_f.min()), float(moments.max_f.max())
        if self.range is None or not self.range.is_left_by(*extremes):
            return 0, 0
        return self.range.clipped(float_value, quant_value)


Measured = tuple[LayerStats, Array, Array]
"""A pair's statistics, and its float and its quant value of one sample, both float32."""


def measured(pairs: Sequence[Measured], *, keep: bool = False) -> list[SamplePart]:
    """What one sample's accumulated pairs give.

    Args:
        pairs: of different layers.
        keep: let the parts outlive the arrays.
    """
    return [
        SamplePart(fitted.float_value.shape, mismatch=fitted.mismatch)
        if moments is None
        else stats.part_of(fitted, moments, keep=keep)
        for stats, fitted, moments in _moments(pairs, by_channel=True)
    ]


def measured_local(pairs: Sequence[Measured]) -> list[LocalPart]:
    """What one sample's outputs of quant layers give that were fed with float inputs."""
    return [
        LocalPart(None, mismatch=fitted.mismatch)
        if moments is None
        else stats.local_part_of(fitted, moments)
        for stats, fitted, moments in _moments(pairs, by_channel=False)
    ]


def _moments(
    pairs: Sequence[Measured], *, by_channel: bool
) -> Iterator[tuple[LayerStats, Fitted, Moments | None]]:
    """Each pair in one shape, and its moments; None where it cannot be compared."""
    fitted = [stats.fitted(f, q) for stats, f, q in pairs]
    found = iter(
        measure_all(
            [
                (x.float_value, x.quant_value, x.channel_axis if by_channel else None)
                for x in fitted
                if x.mismatch is None
            ]
        )
    )
    for (stats, _, _), pair in zip(pairs, fitted, strict=True):
        yield stats, pair, next(found) if pair.mismatch is None else None


def _differing_axis(first: tuple[int, ...], second: tuple[int, ...]) -> int | None:
    """The only axis along which two shapes differ; None where that is not so."""
    if len(first) != len(second):
        return None
    axes = [at for at, (a, b) in enumerate(zip(first, second, strict=True)) if a != b]
    return axes[0] if len(axes) == 1 else None
