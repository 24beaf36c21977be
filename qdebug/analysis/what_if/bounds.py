"""What a change can win at most, known from the samples that it has been run on.

The error over all samples is the sum of theirs, and none is less than nothing: what some of them
leave bounds the gain. Where half of the error lies on two of four samples and the change leaves
that as it is, it wins no more than 3 dB whatever it does to the other two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from qdebug.analysis.what_if.changes import Alone, Gain, Outcome, Part
from qdebug.metrics.metric import sqnr_db
from qdebug.metrics.moments import Moments


@dataclass(frozen=True)
class Hope:
    """Whether a change may yet win what matters.

    Attributes:
        before: without the change, on all samples.
        parts: of the outputs, those where a gain counts.
        matters: whether a gain does; if it does, so does every larger one at the same part.
    """

    before: Outcome
    parts: Sequence[Part]
    matters: Callable[[Gain], bool]

    def is_gone(self, found: Mapping[int, Alone]) -> bool:
        """Whether nothing that matters can come of it, whatever samples not yet run give.

        Args:
            found: error at the outputs under the change, by sample.
        """
        if not found:
            return False
        return not any(self._may_matter(part, found.values()) for part in self.parts)

    def _may_matter(self, part: Part, found: Iterable[Alone]) -> bool:
        before = self.before.sqnr_db(part)
        if math.isnan(before):
            return True
        left = Moments.empty()
        for parts in found:
            left.add(part.total(parts))
        if float(left.nonfinite_q[0]) > 0:
            after = math.nan
        else:
            best = part.total(self.before.moments)
            best.ee[:] = left.ee
            after = float(sqnr_db(best)[0])
        return self.matters(Gain(part, before, after))

    def in_order(self, numbers: Iterable[int]) -> list[int]:
        """Samples in the order in which they bound the gain soonest: the largest error first."""
        return sorted(numbers, key=lambda number: -self._share(number))

    def _share(self, number: int) -> float:
        """A sample's part of the error, of all parts of the outputs together."""
        whole, alone = self.before.moments, self.before.samples[number]
        shares = (
            float(part.total(alone).ee[0]) / error
            for part in self.parts
            if (error := float(part.total(whole).ee[0])) > 0
        )
        return sum(shares)
