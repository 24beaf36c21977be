"""What a check may look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from qdebug.analysis.ceiling import Ceiling
from qdebug.analysis.tasks import TaskOutcome
from qdebug.analysis.what_if import Change, WhatIf
from qdebug.capture.stats import LayerStats, Range
from qdebug.graph.model import Graph
from qdebug.graph.pairs import Pair, Pairing
from qdebug.limits import LayerLimit
from qdebug.metrics.moments import Moments
from qdebug.run.model import Finding, Layer, Limit, OutputResult, SampleInfo

if TYPE_CHECKING:  # most comparisons have no board
    from qdebug.board import BoardOutcome
    from qdebug.reading.outcome import ReadingOutcome

_T = TypeVar("_T")


@dataclass(frozen=True)
class JoinedLayer:
    """All that is known of one layer.

    Attributes:
        pair: its float and its quant tensor.
        stats: what was measured while both streamed by.
        record: what the run keeps of it.
    """

    pair: Pair
    stats: LayerStats
    record: Layer

    @property
    def at(self) -> int:
        """Its position among the layers."""
        return self.record.index

    @property
    def name(self) -> str:
        """Name of the float node that makes it."""
        return self.record.name

    @property
    def moments(self) -> Moments | None:
        """Sums over all samples, a row for every channel; None where it was not compared."""
        return self.stats.accumulated

    @property
    def range(self) -> Range | None:
        """What its quantizer can represent; None without one, or with one for each channel."""
        return self.stats.range

    @property
    def channel_peaks(self) -> npt.NDArray[np.float64]:
        """Largest magnitude of each channel in the float run."""
        if self.moments is None:
            return np.zeros(0)
        return np.maximum(np.abs(self.moments.min_f), np.abs(self.moments.max_f))

    @property
    def peak(self) -> float:
        """Largest magnitude in the float run; zero where the tensor holds no finite value."""
        if self.moments is None or float(self.moments.n.sum()) == 0:
            return 0.0
        return float(self.channel_peaks.max())


def join_layers(
    pairs: Sequence[Pair], stats: Sequence[LayerStats], records: Sequence[Layer]
) -> tuple[JoinedLayer, ...]:
    """Put together what capture and comparison give in the same order.

    Raises:
        ValueError: they differ in number.
    """
    return tuple(
        JoinedLayer(pair=pair, stats=stat, record=record)
        for pair, stat, record in zip(pairs, stats, records, strict=True)
    )


@dataclass(frozen=True, kw_only=True)
class CheckContext:
    """Everything a check may look at. No check changes it; one notes what undoes its findings.

    Attributes:
        float_graph: the reference graph.
        quant_graph: its twin, operators on codes written as QDQ (``graph.expand``).
        pairing: weight pairs, and what was left without a counterpart.
        joined: the layers, in execution order; a layer's position is its index.
        outputs: results at the model's outputs.
        samples: what the models ran on.
        limits: the user's limits, None where the defaults hold.
        vendor: toolchain that advice is written for, None where not known.
        what_if: reruns the quant graph with something changed; None where it cannot be rerun.
        task: effect on the task, None where none was recognized.
        layer_limits: the user's limits on single layers.
        ceiling: the 16-bit model, None where it was not asked for.
        input_findings: what the input gate has found.
        board: the board beside both models; None where no dump was given.
        reading: the board's answers beside qdebug's; None where none were given.
    """

    float_graph: Graph
    quant_graph: Graph
    pairing: Pairing
    joined: Sequence[JoinedLayer]
    outputs: Sequence[OutputResult]
    samples: Sequence[SampleInfo]
    limits: Sequence[Limit] | None = None
    vendor: str | None = None
    what_if: WhatIf | None = None
    task: TaskOutcome | None = None
    layer_limits: Sequence[LayerLimit] = ()
    ceiling: Ceiling | None = None
    input_findings: Sequence[Finding] = ()
    board: BoardOutcome | None = None
    reading: ReadingOutcome | None = None
    _known: dict[Callable[[CheckContext], Any], Any] = field(
        default_factory=dict, repr=False, compare=False
    )
    _cures: list[tuple[Finding, Change]] = field(default_factory=list, repr=False, compare=False)

    def layer(self, at: int) -> JoinedLayer:
        """The layer at a position."""
        return self.joined[at]

    def cured_by(self, finding: Finding, change: Change) -> Finding:
        """The finding, with a note of what undoes it and wins its gain (``cure_of``)."""
        self._cures.append((finding, change))
        if self.what_if is not None and finding.status in ("fail", "warn"):
            self.what_if.expect(change)
        return finding

    def cure_of(self, finding: Finding) -> Change | None:
        """What undoes a finding, as its check has noted; None where it noted nothing."""
        return next((change for made, change in self._cures if made is finding), None)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """What the run keeps of each layer."""
        return tuple(joined.record for joined in self.joined)

    def once(self, compute: Callable[[CheckContext], _T]) -> _T:
        """What a function of this context gives, computed the first time it is asked for."""
        if compute not in self._known:
            self._known[compute] = compute(self)
        known: _T = self._known[compute]
        return known
