"""Runs the samples of a comparison through both models; what they show is looked at beside."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qdebug import collector, interrupts
from qdebug.capture.engine import Capture
from qdebug.capture.session import SessionSettings, side_by_side
from qdebug.comparison.in_turn import InTurn
from qdebug.comparison.keep import KeptTensors, Recapture
from qdebug.comparison.outputs import OutputRuns, OutputSample, shown_sample
from qdebug.comparison.sample_info import sample_info
from qdebug.comparison.sample_work import shared_results
from qdebug.comparison.sides import Side
from qdebug.options import CompareOptions
from qdebug.preprocess import Sample
from qdebug.progress import Progress
from qdebug.quantities import LOCAL_SAMPLES
from qdebug.run.model import SampleInfo
from qdebug.run.store import MemoryWriter, RunWriter

if TYPE_CHECKING:  # most comparisons have no board
    from qdebug.comparison.board import Board

Array = npt.NDArray[Any]
Feeds = dict[str, Array]

_MANY, _ENOUGH = 200, 32
"""Samples from which on the time is told, and as many as a diagnosis needs: sources and victims
do not change behind some thirty (the benches use 4 to 16)."""
_TIMED = 2
"""Samples whose time is taken, behind the first."""
_TITLE = "running both models"


@dataclass(kw_only=True)
class SampleRuns:
    """Runs samples in this process, or lets others run them.

    Attributes:
        request: of the comparison.
        sides: float and quant.
        settings: how the two are run.
        samples: to be run.
        feeds: inputs of both models for a sample.
        capture: measures both runs.
        outputs: follows the outputs.
        writer: of the run.
        progress: is told of every sample.
        beside: does what goes on beside the models.
        fed: what was really fed in place of the first sample, as a picture.
        infos: of the samples, filled in their order.
    """

    request: CompareOptions
    sides: tuple[Side, Side]
    settings: tuple[SessionSettings, SessionSettings]
    samples: Sequence[Sample]
    feeds: Callable[[Sample], tuple[Feeds, Feeds]]
    capture: Capture
    outputs: OutputRuns
    writer: RunWriter | MemoryWriter
    progress: Progress
    beside: InTurn
    fed: npt.NDArray[np.uint8] | None
    infos: list[SampleInfo]
    _left: list[int] = field(default_factory=list)
    """Numbers of samples whose answers are not taken yet."""

    def run(
        self, kept: KeptTensors, board: Board | None, recapture: Callable[[Sample], Recapture]
    ) -> None:
        """Run both models here.

        The last sample's answers are left for later where the sessions for them are still being
        opened, which takes seconds with thousands of layers.

        Args:
            kept: receives every captured value.
            board: likewise, and stands beside every sample.
            recapture: runs layers of a sample once more.
        """
        count = len(self.samples)
        self.progress.stage(_TITLE, count)
        local = local_samples(self.request.local, count)
        begun = time.perf_counter()
        with contextlib.ExitStack() as going_on:
            for number, sample in enumerate(self.samples):
                interrupts.check()
                if number == 1:  # what the first one waits for is opened and compiled, and stays
                    begun = time.perf_counter()
                    going_on.enter_context(collector.resumed())
                feeds = self.feeds(sample)
                self.beside.do(self._describe, number, sample, feeds)
                if board is None and number + 1 < count:  # a board asks for these once more
                    self.beside.do(self.feeds, self.samples[number + 1])
                if board is not None:
                    board.begin(number, feeds[0])
                sink = self._sink(number, kept, board)
                is_last = number + 1 == count
                self.capture.add_sample(*feeds, sink, local=number in local, last=is_last)
                if board is not None:
                    board.end(self.capture, self.settings[1], recapture(sample))
                self.beside.finish()
                if is_last and not self.outputs.deployed.is_ready:
                    self._left.append(number)
                else:
                    self._take_answers(number, feeds)
                if number == _TIMED and count >= _MANY:
                    self._tell_time((time.perf_counter() - begun) / _TIMED)
                    self.progress.advance(number)
                self.progress.advance()

    def run_elsewhere(self) -> None:
        """Let other processes run the samples; what they measured is included in order."""
        self.progress.stage(_TITLE, len(self.samples))
        local = local_samples(self.request.local, len(self.samples))
        chosen = [number in local for number in range(len(self.samples))]
        results = shared_results(self.request, self.sides, self.samples, chosen)
        with collector.resumed():
            for number, (sample, result) in enumerate(zip(self.samples, results, strict=True)):
                interrupts.check()
                self._describe(number, sample, self.feeds(sample))
                self.capture.include(result.layers)
                self._include(number, result.outputs)
                self.progress.advance()

    def take_what_is_left(self) -> None:
        """Take the answers that were left for later."""
        while self._left:
            number = self._left.pop(0)
            self._take_answers(number, self.feeds(self.samples[number]))

    def _sink(
        self, number: int, kept: KeptTensors, board: Board | None
    ) -> Callable[[int, str, Array], None]:
        def sink(at: int, side: str, value: Array) -> None:
            self.outputs.receive(at, side, value)
            kept.add(number, at, side, value)
            if board is not None:
                board.receive(at, side, value)

        return sink

    def _take_answers(self, number: int, feeds: tuple[Feeds, Feeds]) -> None:
        self.beside.do(self._include, number, self.outputs.sample(number, feeds))

    def _describe(self, number: int, sample: Sample, feeds: tuple[Feeds, Feeds]) -> None:
        self.infos.append(sample_info(number, sample, feeds, self.sides, self.fed, self.writer))

    def _include(self, number: int, found: OutputSample) -> None:
        size = self.sides[0].contract.size
        shown = shown_sample(self.samples[number], self.infos[number], size)
        self.outputs.include(number, found, shown)
        if side_by_side(self.settings[1], self.request.max_memory)[0] == 1:
            # Memory is for one run at a time: gains run for them anew.
            self.outputs.references.clear()

    def _tell_time(self, seconds: float) -> None:
        """Say how long many samples will take, by the seconds of one."""
        minutes = seconds * len(self.samples) / 60
        about = f"{minutes:.0f} minutes" if minutes >= 2 else f"{minutes * 60:.0f} s"
        title = f"{_TITLE}, about {about}; --limit {_ENOUGH} is enough for a diagnosis"
        self.progress.stage(title, len(self.samples))


def local_samples(asked: bool | str, count: int) -> frozenset[int]:
    """Numbers of the samples that local error is measured on: some spread over all, or ``all``."""
    if not asked:
        return frozenset()
    if asked == "all" or count <= LOCAL_SAMPLES:
        return frozenset(range(count))
    return frozenset(round(at) for at in np.linspace(0, count - 1, LOCAL_SAMPLES))
