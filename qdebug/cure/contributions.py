"""How much of the error at the outputs each tensor makes, from a few gradients.

The loss is ``L = sum w (q - f)^2`` over the outputs. Fed back through the network, ``sqrt(w)`` with
random signs gives a gradient g at every tensor, and ``(g . e)^2`` is, in the mean over the signs,
the loss that an error e there makes to first order (Hutchinson's estimator of the diagonal).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
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


@dataclass(frozen=True)
class Contributions:
    """What every group of tensors contributes to the loss.

    Attributes:
        whole: by group, the histogram over all pictures.
        ranges: by group, the best 8-bit range of each part of the pictures.
        unreached: tensor to one sentence that says why there is nothing known of it.
        runs: of the reverse pass.
    """

    whole: Histograms
    ranges: Mapping[Group, tuple[Range, ...]]
    unreached: Mapping[str, str]
    runs: int


def measure_contributions(
    runs: ReverseRuns,
    samples: Sequence[Callable[[], Sample]],
    groups: Mapping[str, Sequence[Group]],
    *,
    probes: int = 1,
    folds: int = FOLDS,
    seed: int = 0,
    stop: Callable[[], bool] = lambda: False,
) -> Contributions:
    """Run the reverse pass of a float network on samples and sum up what it tells.

    The samples of a part are run together, and of a part only the best ranges are kept: one
    histogram a group is held beside that of all samples.

    Args:
        runs: the reverse pass, at the tensors of the groups.
        samples: each gives inputs, and the loss's weight w of every element of the outputs (by
            output, of its shape, not negative; an output left out does not count).
        groups: tensor to what it belongs to, once for each time that it is quantized there; the
            shares of tensors under one scale add up.
        probes: runs for each sample, with other signs.
        folds: parts that the samples are dealt into.
        seed: of the signs.
        stop: asked before each sample; what was done until then is returned.

    Raises:
        ModelError: ONNX Runtime cannot run the reverse pass.
    """
    work = _Work(runs, groups, probes, seed)
    for first in range(min(folds, len(samples))):
        for number in range(first, len(samples), folds):
            interrupts.check()
            if stop():
                break
            work.add(number, *samples[number]())
        work.end_part()
    return Contributions(work.whole, work.ranges, runs.unreached, work.count)


class _Work:
    def __init__(
        self, runs: ReverseRuns, groups: Mapping[str, Sequence[Group]], probes: int, seed: int
    ) -> None:
        self.runs, self.groups, self.probes, self.seed = runs, groups, probes, seed
        self.whole: dict[Group, GradientHistogram] = {}
        self.part: dict[Group, GradientHistogram] = {}
        self.ranges: dict[Group, tuple[Range, ...]] = {}
        self.count = 0

    def add(self, number: int, feeds: Feeds, weights: Mapping[str, Array]) -> None:
        """Run one sample."""
        for probe in range(self.probes):
            rng = np.random.default_rng([self.seed, number, probe])
            self.runs.run(feeds, _signed(weights, rng), self._receive)
            self.count += 1

    def _receive(self, tensor: str, values: Array | None, gradient: Array) -> None:
        assert values is not None
        for group in self.groups[tensor]:
            self.part.setdefault(group, GradientHistogram()).add(values, gradient)

    def end_part(self) -> None:
        """Keep the best ranges of a part, and add its histograms to those of all."""
        members = Counter(group for named in self.groups.values() for group in named)
        for group, histogram in self.part.items():
            histogram.runs //= members[group]  # each tensor of a group was added
            if histogram.radius > 0:
                self.ranges[group] = (*self.ranges.get(group, ()), weighted(histogram, 8))
            known = self.whole.get(group)
            parts = [histogram] if known is None else [known, histogram]
            self.whole[group] = GradientHistogram.merged(parts)
        self.part = {}


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
