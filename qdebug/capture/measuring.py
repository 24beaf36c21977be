"""Measures the pairs of a segment on all threads, and includes them in the statistics."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from qdebug.capture.stats import LayerStats, LocalPart, SamplePart, measured, measured_local

Array = npt.NDArray[Any]
Values = Mapping[int, Array]
"""Float32 values by position of the pair."""
Sink = Callable[[int, str, Array], None]
"""Receives the position of a pair, ``float`` or ``quant``, and the value; it must not keep it."""

KEPT_FROM = 4
"""Samples from which on the values that a layer's histogram looks at are few enough for those of a
segment to be kept until they are counted, while the next one's quant side runs."""
_TASKS = 2
"""Tasks of each thread: what one has more of, another takes over. With 1, 4 and 8 the samples take
as long (sixteen images of YOLOv5n)."""


@dataclass
class SampleParts:
    """What one sample gives, by position of the pair; travels between processes."""

    accumulated: dict[int, SamplePart] = field(default_factory=dict)
    local: dict[int, LocalPart] = field(default_factory=dict)


class Measuring:
    """Measures what one segment after the other gives.

    Args:
        stats: of every pair.
        pool: threads that help the calling one.
        workers: how many threads measure, the calling one included.
        measure: whether there is anything to measure, or only a sink to be fed.
        keep: include what a segment gives when ``settle`` is called.
    """

    def __init__(
        self,
        stats: Sequence[LayerStats],
        pool: ThreadPoolExecutor,
        workers: int,
        *,
        measure: bool,
        keep: bool,
    ) -> None:
        self._stats, self._pool, self._workers = stats, pool, workers
        self._measures, self._keeps = measure, keep
        self._kept: dict[int, SamplePart] = {}
        self.parts: SampleParts | None = None
        """Filled with what a sample gives, in place of the statistics."""

    def pairs(
        self,
        positions: Sequence[int],
        float_values: Values,
        quant_values: Values,
        sink: Sink | None,
    ) -> None:
        """Measure the accumulated error of a segment, and hand its values to the sink."""
        later = self._kept if self._keeps and self._measures else None
        if self.parts is not None:
            later = self.parts.accumulated
        self._share(positions, float_values, self._measure, quant_values, sink, later)

    def local(self, positions: Sequence[int], float_values: Values, local_values: Values) -> None:
        """Measure the local error of a segment, whose pairs have been measured before."""
        self.settle()
        self._share(positions, float_values, self._measure_local, local_values)

    def include(self, parts: SampleParts) -> None:
        """Include what another process measured; samples come in their order."""
        self._include(parts.accumulated)
        for at in sorted(parts.local):
            self._stats[at].include_local(parts.local[at])

    def settle(self) -> None:
        """Include in the statistics what was kept of what was measured."""
        kept, self._kept = self._kept, {}
        self._include(kept)

    def _share(
        self,
        positions: Sequence[int],
        float_values: Values,
        work: Callable[..., None],
        *arguments: Any,
    ) -> None:
        """Do work for every position, on all threads, some positions of each size at a time.

        The calling thread takes part, and does everything where the others are busy: another one
        that is woken up for little may wait for the processor longer than it works.
        """
        # A task for each tensor would cost more than its metrics where it is small, and threads
        # that come back from every one would wait for Python's lock.
        by_size = sorted(positions, key=lambda at: -float_values[at].size)
        tasks = _TASKS * self._workers
        left = deque(by_size[at::tasks] for at in range(min(tasks, len(by_size))))

        def take() -> None:
            while left:
                try:
                    share = left.popleft()
                except IndexError:  # another thread has just taken the last one
                    return
                work(share, float_values, *arguments)

        helping = [self._pool.submit(take) for _ in range(min(self._workers, len(left)) - 1)]
        try:
            take()
        finally:
            left.clear()
            begun = [future for future in helping if not future.cancel()]
            wait(begun)  # they read memory that the next run writes to
        for future in begun:
            future.result()

    def _measure(
        self,
        positions: Sequence[int],
        float_values: Values,
        quant_values: Values,
        sink: Sink | None,
        later: dict[int, SamplePart] | None,
    ) -> None:
        if self._measures or later is not None:
            pairs = [(self._stats[at], float_values[at], quant_values[at]) for at in positions]
            found = dict(zip(positions, measured(pairs, keep=later is not None), strict=True))
            if later is None:
                self._include(found)
            else:
                later.update(found)
        if sink is not None:
            for at in positions:
                sink(at, "float", float_values[at])
                sink(at, "quant", quant_values[at])

    def _measure_local(
        self, positions: Sequence[int], float_values: Values, local_values: Values
    ) -> None:
        pairs = [(self._stats[at], float_values[at], local_values[at]) for at in positions]
        for at, found in zip(positions, measured_local(pairs), strict=True):
            if self.parts is None:
                self._stats[at].include_local(found)
            else:
                self.parts.local[at] = found

    def _include(self, parts: Mapping[int, SamplePart]) -> None:
        for at in sorted(parts):
            self._stats[at].include(parts[at])
