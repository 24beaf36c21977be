"""How much of the error at the outputs each tensor makes, from a few gradients.

The loss is ``L = sum w (q - f)^2`` over the outputs. Fed back through the network, ``sqrt(w)`` with
random signs gives a gradient g at every tensor, and ``(g . e)^2`` is, in the mean over the signs,
the loss that an error e there makes to first order (Hutchinson's estimator of the diagonal).
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug import interrupts
from qdebug.cure.histogram import GradientHistogram
from qdebug.cure.runs import Feeds, ReverseRuns
from qdebug.cure.thresholds import Range, weighted

Array = npt.NDArray[Any]
Group = Hashable
"""What tensors under one scale have in common."""
Histograms = Mapping[Group, GradientHistogram]
Sample = tuple[Feeds, Mapping[str, Array]]

FOLDS = 4
"""Parts that the pictures are dealt into, for ranges that hold on several of them. By judgement."""
HALVES = 2
"""Parts of which each can stand beside other pictures instead of the other."""


@dataclass(frozen=True)
class Contributions:
    """What every group of tensors contributes to the loss.

    Attributes:
        whole: by group, the histogram over all pictures.
        ranges: by group, the best 8-bit range of each part of the pictures.
        unreached: tensor to one sentence that says why there is nothing known of it.
        runs: of the reverse pass.
        halves: the same of every second picture and of the others, where that was asked for.
    """

    whole: Histograms
    ranges: Mapping[Group, tuple[Range, ...]]
    unreached: Mapping[str, str]
    runs: int
    halves: tuple[Contributions, ...] = ()

    def beside(self, other: Contributions) -> Contributions:
        """What both tell together; without the halves."""
        whole = dict(self.whole)
        _join(whole, other.whole)
        groups = {**self.ranges, **other.ranges}
        ranges = {g: (*self.ranges.get(g, ()), *other.ranges.get(g, ())) for g in groups}
        unreached = {**self.unreached, **other.unreached}
        return Contributions(whole, ranges, unreached, self.runs + other.runs)


@dataclass(frozen=True)
class SampleContribution:
    """What one sample tells of every group of tensors.

    Attributes:
        histograms: by group; each tensor of the group was added.
        unreached: as in ``Contributions``.
        runs: of the reverse pass.
    """

    histograms: Histograms
    unreached: Mapping[str, str]
    runs: int


def measure_contributions(
    runs: ReverseRuns,
    samples: Sequence[Callable[[], Sample]],
    groups: Mapping[str, Sequence[Group]],
    *,
    probes: int = 1,
    folds: int = FOLDS,
    first: int = 0,
    halves: bool = False,
    stop: Callable[[int], bool] = lambda _: False,
) -> Contributions:
    """Run the reverse pass of a float network on samples and sum up what it tells.

    Args:
        runs: the reverse pass, at the tensors of the groups.
        samples: each gives inputs, and the loss's weight w of every element of the outputs (by
            output, of its shape, not negative; an output left out does not count).
        groups: tensor to what it belongs to, once for each time that it is quantized there; the
            shares of tensors under one scale add up.
        probes: runs for each sample, with other signs.
        folds: parts that the samples are dealt into.
        first: number of the first sample: signs depend on it.
        halves: whether to tell what each half of the samples says, too.
        stop: asked before each sample, told how many are done; what was done until then is
            returned.

    Raises:
        ModelError: ONNX Runtime cannot run the reverse pass.
    """
    found = (
        contribution_of(runs, first + number, samples[number](), groups, probes=probes)
        for number in dealt(len(samples), folds)
    )
    return summed_up(found, len(samples), groups, folds=folds, halves=halves, stop=stop)


def contribution_of(
    runs: ReverseRuns,
    number: int,
    sample: Sample,
    groups: Mapping[str, Sequence[Group]],
    *,
    probes: int = 1,
) -> SampleContribution:
    """What one sample tells; see `measure_contributions`.

    Args:
        runs: the reverse pass.
        number: of the sample, which its signs depend on.
        sample: its inputs, and the loss's weights.
        groups: tensor to what it belongs to.
        probes: runs, with other signs.
    """
    feeds, weights = sample
    found: dict[Group, GradientHistogram] = {}

    def receive(tensor: str, values: Array, gradient: Array) -> None:
        for group in groups[tensor]:
            found.setdefault(group, GradientHistogram()).add(values, gradient)

    for probe in range(probes):
        rng = np.random.default_rng([0, number, probe])
        runs.run(feeds, _signed(weights, rng), receive)
    return SampleContribution(found, dict(runs.unreached), probes)


def dealt(count: int, folds: int = FOLDS) -> list[int]:
    """Numbers of the samples in the order in which they are summed up: part by part."""
    return [number for part in _parts(count, folds) for number in part]


def _parts(count: int, folds: int) -> list[range]:
    return [range(first, count, folds) for first in range(min(folds, count))]


def summed_up(
    found: Iterable[SampleContribution],
    count: int,
    groups: Mapping[str, Sequence[Group]],
    *,
    folds: int = FOLDS,
    halves: bool = False,
    stop: Callable[[int], bool] = lambda _: False,
) -> Contributions:
    """Sum up what samples tell, always in the same order: whoever ran them, the bits are the same.

    Of a part only the best ranges are kept: two histograms a group are held beside that of all
    samples.

    Args:
        found: of the samples, in the order of `dealt`; taken one by one.
        count: of the samples.
        groups: as in `measure_contributions`.
        folds: parts that the samples are dealt into; an even number where halves are asked for.
        halves: as in `measure_contributions`.
        stop: as in `measure_contributions`.
    """
    members = Counter(group for named in groups.values() for group in named)
    coming, done = iter(found), 0
    totals = [_Sums() for _ in range(HALVES if halves else 1)]
    for number, part in enumerate(_parts(count, folds)):
        total = totals[number % len(totals)]  # samples of one part are all of one half
        for _ in part:
            interrupts.check()
            if stop(done):
                break
            total.add(next(coming))
            done += 1
        total.end_part(members)
    parts = [Contributions(t.whole, t.ranges, t.unreached, t.runs) for t in totals]
    whole = functools.reduce(Contributions.beside, parts)
    return dataclasses.replace(whole, halves=tuple(parts) if halves else ())


class _Sums:
    def __init__(self) -> None:
        self.whole: dict[Group, GradientHistogram] = {}
        self.part: dict[Group, GradientHistogram] = {}
        self.ranges: dict[Group, tuple[Range, ...]] = {}
        self.unreached: Mapping[str, str] = {}
        self.runs = 0

    def add(self, sample: SampleContribution) -> None:
        """Add one sample to its part."""
        _join(self.part, sample.histograms)
        self.unreached = sample.unreached
        self.runs += sample.runs

    def end_part(self, members: Mapping[Group, int]) -> None:
        """Keep the best ranges of a part, and add its histograms to those of all."""
        for group, histogram in self.part.items():
            histogram.runs //= members[group]  # each tensor of a group was added
            if histogram.radius > 0:
                self.ranges[group] = (*self.ranges.get(group, ()), weighted(histogram, 8))
        _join(self.whole, self.part)
        self.part = {}


def _join(known: dict[Group, GradientHistogram], more: Histograms) -> None:
    for group, histogram in more.items():
        parts = [known[group], histogram] if group in known else [histogram]
        known[group] = GradientHistogram.merged(parts)


def _signed(weights: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Square roots of the weights, each with a random sign."""
    return {
        name: np.asarray(np.sqrt(value) * random_signs(np.shape(value), rng), np.float32)
        for name, value in weights.items()
    }


def random_signs(shape: Sequence[int], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """-1 and 1, each with even chances."""
    bits = rng.integers(0, 2, tuple(shape), np.int8)
    return (2 * bits - 1).astype(np.float32)
