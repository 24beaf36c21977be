"""What can be done otherwise in a quant graph, and what it wins."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from qdebug.graph.pairs import Quantizer
from qdebug.metrics.metric import sqnr_db
from qdebug.metrics.moments import Moments

LOW_DB, HIGH_DB = -20.0, 60.0
"""SQNR is cut to these ends before a gain is taken: beyond them differences mean nothing. By
judgement."""
COUNTED_DB = 35.0
"""A gain counts where the output has less than this: above, quantization does no harm. By
judgement."""


Alone = Mapping[str, Moments]
"""Error at each output on one sample."""


@dataclass(frozen=True)
class Change:
    """What is done otherwise than in the quant graph.

    Attributes:
        free: positions of pairs whose tensor is not quantized.
        weights: indices of float nodes whose weight and bias are the float model's.
        quantizers: pair position to the quantizer it gets instead of its own.
        given: positions of pairs whose layer's result is replaced by the float run's value, which
            then goes through the layer's own quantizer.
        computed: positions of pairs whose layer's result is replaced by what the float model's own
            nodes and weights make of the twin's tensors; then as with ``given``.
        straight: positions among ``given`` and ``computed`` whose value is put in as the float
            graph lays it out, where the twin's tensor has been paired in another layout.
    """

    free: frozenset[int] = frozenset()
    weights: frozenset[int] = frozenset()
    quantizers: Mapping[int, Quantizer] = field(default_factory=dict)
    given: frozenset[int] = frozenset()
    computed: frozenset[int] = frozenset()
    straight: frozenset[int] = frozenset()

    @cached_property
    def key(self) -> Hashable:
        """Equal for equal changes."""
        quantizers = frozenset((at, quantizer.key) for at, quantizer in self.quantizers.items())
        return quantizers, self.free, self.weights, self.given, self.computed, self.straight

    def __bool__(self) -> bool:
        """Whether anything is done otherwise."""
        return self != Change()

    def on_top_of(self, other: Change) -> Change:
        """Both; where the two treat one tensor otherwise, this change has its way."""
        quantizers = {at: q for at, q in other.quantizers.items() if at not in self.free}
        return Change(
            self.free | (other.free - set(self.quantizers)),
            self.weights | other.weights,
            {**quantizers, **self.quantizers},
            self.given | other.given,
            self.computed | other.computed,
            self.straight | other.straight,
        )

    def without(self, other: Change) -> Change | None:
        """What is left of it; None where it does not do all that the other does, and apart."""
        left = Change(
            self.free - other.free,
            self.weights - other.weights,
            {at: q for at, q in self.quantizers.items() if at not in other.quantizers},
            self.given - other.given,
            self.computed - other.computed,
            self.straight - other.straight,
        )
        is_whole = not left.places & other.places and other.on_top_of(left).key == self.key
        return left if left and is_whole else None

    @property
    def places(self) -> frozenset[int]:
        """Positions of the pairs whose tensor is another."""
        return self.requantized | self.made

    @property
    def requantized(self) -> frozenset[int]:
        """Positions of the pairs whose tensor is quantized otherwise, or not at all."""
        return self.free | self.quantizers.keys()

    @property
    def made(self) -> frozenset[int]:
        """Positions of the pairs whose layer gives another result, before it is quantized."""
        return self.given | self.computed

    def is_apart_from(self, other: Change) -> bool:
        """Whether neither does any of what the other does, though both may change one layer."""
        return not (
            self.requantized & other.requantized
            or self.made & other.made
            or self.weights & other.weights
            or (self.made and other.weights)  # a layer's own nodes come with their weights
            or (self.weights and other.made)
        )


@dataclass(frozen=True)
class Part:
    """Some channels of one output, measured as one.

    Attributes:
        output: its name in the float graph.
        channels: which ones; None for all.
    """

    output: str
    channels: tuple[int, ...] | None = None

    def total(self, moments: Mapping[str, Moments]) -> Moments:
        """The sums over it, as one row."""
        whole = moments[self.output]
        return (whole if self.channels is None else whole.rows(self.channels)).total()


@dataclass(frozen=True)
class Outcome:
    """Error at the outputs.

    Attributes:
        moments: by float output name, a row for every channel.
        samples: the same for each sample alone.
    """

    moments: Mapping[str, Moments]
    samples: tuple[Alone, ...] = ()
    _known: dict[tuple[Part, int | None], float] = field(
        default_factory=dict, repr=False, compare=False
    )

    def sqnr_db(self, part: Part, sample: int | None = None) -> float:
        """SQNR of a part of an output, dB; over all samples, or of one."""
        if (part, sample) not in self._known:
            self._known[part, sample] = self._sqnr_db(part, sample)
        return self._known[part, sample]

    def _sqnr_db(self, part: Part, sample: int | None) -> float:
        total = part.total(self.moments if sample is None else self.samples[sample])
        if float(total.nonfinite_f[0] + total.nonfinite_q[0]) > 0:
            return float("nan")
        return float(sqnr_db(total)[0])


@dataclass(frozen=True)
class Gain:
    """What a change wins at the part of the outputs where it wins most.

    Attributes:
        part: which part.
        before: SQNR there as the quant model is, dB.
        after: SQNR there with the change, dB.
        samples: number of samples it was measured on; 0 where that is not known, or where it is
            what may be won at most (``bounds``).
        spread: standard deviation of the gains of single samples, dB; None where fewer than two
            have one.
    """

    part: Part
    before: float
    after: float
    samples: int = 0
    spread: float | None = None

    @property
    def db(self) -> float:
        """Gain in dB."""
        return _bounded(self.after) - _bounded(self.before)


def gain_at(part: Part, before: Outcome, after: Outcome) -> Gain:
    """Gain at one part, with the spread between its samples."""
    count = min(len(before.samples), len(after.samples))
    alone = [
        _bounded(after.sqnr_db(part, at)) - _bounded(before.sqnr_db(part, at))
        for at in range(count)
    ]
    known = [db for db in alone if not math.isnan(db)]
    spread = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return Gain(part, before.sqnr_db(part), after.sqnr_db(part), count, spread)


def _bounded(db: float) -> float:
    return LOW_DB if np.isnan(db) else float(np.clip(db, LOW_DB, HIGH_DB))
