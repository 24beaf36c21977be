"""The pictures of a search, shared among processes: gradients and measurements of configurations.

Every worker opens both models once and keeps them; each picture gives its own result, and these are
summed up in the order of the pictures, so the search takes the same way whoever ran them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from qdebug.capture.session import SessionSettings
from qdebug.comparison.sample_work import SampleItem, as_plain, files_needed, moved
from qdebug.comparison.sides import Feeds, feeds_of, load_sides
from qdebug.comparison.tuning.material import Ground, Material, fingerprint, lay_ground
from qdebug.comparison.tuning.start import Start
from qdebug.cure.contributions import (
    FOLDS,
    HALVES,
    Group,
    SampleContribution,
    contribution_of,
    dealt,
)
from qdebug.cure.meter import Judge, Meter, Picture, PictureMeasured
from qdebug.cure.network import Config, Numbers
from qdebug.cure.predict import sources_of
from qdebug.cure.proof import MeasureAll
from qdebug.cure.runs import ReverseRuns
from qdebug.options import CompareOptions
from qdebug.sharding.files import Sent
from qdebug.sharding.opened import Opened
from qdebug.sharding.shards import Scheduler, in_order


@dataclass(frozen=True)
class Opening:
    """What a worker opens; plain data that travels.

    Attributes:
        options: with which both models are loaded.
        compare_at: tensors that the user wants to be compared at.
        first: the first picture, by which every process pairs the graphs alike.
        key: tells one search from another.
        files: models and pictures that workers cannot see.
    """

    options: CompareOptions
    compare_at: str | None
    first: SampleItem
    key: str
    files: Sent


@dataclass(frozen=True)
class ContributionWork:
    """The reverse pass on pictures that are searched on."""

    opening: Opening

    def __call__(self, items: Sequence[SampleItem]) -> list[SampleContribution]:
        """One result a picture."""
        opened = _opened(self.opening)
        return [opened.contribution(item) for item in items]


@dataclass(frozen=True)
class MeasureWork:
    """One configuration on held-out pictures.

    Attributes:
        opening: what a worker opens.
        config: of the quantizers.
        weights: tells one set of weights and biases from another.
        numbers: the set.
    """

    opening: Opening
    config: Config = field(repr=False)
    weights: str
    numbers: Numbers = field(repr=False)

    def __call__(self, items: Sequence[SampleItem]) -> list[PictureMeasured]:
        """One result a picture."""
        opened = _opened(self.opening)
        return [
            opened.meter.measure(opened.picture(i), self.config, self.weights, self.numbers)
            for i in items
        ]


def _opened(opening: Opening) -> _Opened:
    return _OPENED.get(opening.key + opening.files.key, lambda: _Opened(opening))


class _Opened:
    """Both models in a worker, ready for pictures."""

    def __init__(self, opening: Opening) -> None:
        self._files = opening.files
        self.options = moved(opening.options, self._files)
        sides = load_sides(self.options)
        self.settings = SessionSettings(threads=self.options.threads or 0)
        self._first = feeds_of(opening.first.sample.moved(self._files.places), *sides)
        self.ground: Ground = lay_ground(
            sides, self._first, self.settings, self.options.task, opening.compare_at
        )
        fast = dataclasses.replace(self.settings, reordered=True)
        judge = Judge(self.ground.task)
        self.meter = Meter(self.ground.network, self.ground.loss, judge, fast)
        self._pictures: dict[int, Picture] = {}

    def contribution(self, item: SampleItem) -> SampleContribution:
        """What the gradients on one picture tell."""
        float_feeds, _ = self._feeds(item)
        weights = self.ground.loss.weights(self.ground.values(float_feeds))
        return contribution_of(
            self._reverse,
            item.number,
            (float_feeds, weights),
            self._groups,
            probes=self.ground.probes,
        )

    def picture(self, item: SampleItem) -> Picture:
        """A held-out picture with the float model's values, which are kept."""
        if item.number not in self._pictures:
            float_feeds, quant_feeds = self._feeds(item)
            values = self.ground.values(float_feeds)
            self._pictures[item.number] = self.ground.picture(quant_feeds, values)
        return self._pictures[item.number]

    def _feeds(self, item: SampleItem) -> tuple[Feeds, Feeds]:
        return self.ground.feeds(item.sample.moved(self._files.places))

    @cached_property
    def _groups(self) -> dict[str, list[Group]]:
        network = self.ground.network
        found = sources_of(network, network.units(self._first[1]))
        return {tensor: list(units) for tensor, units in found.items()}

    @cached_property
    def _reverse(self) -> ReverseRuns:
        return ReverseRuns(
            self.ground.network.float_graph,
            list(self._groups),
            self.ground.loss.tensors,
            self.settings,
            max_memory=self.options.max_memory,
            seen=self.ground.loss.seen,
        )


_OPENED: Opened[_Opened] = Opened()


class SharedPictures:
    """A search's pictures in the hands of workers.

    Args:
        start: what the search begins with.
        material: what it works on.
        scheduler: who does the work, ready.
    """

    def __init__(self, start: Start, material: Material, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        request, sides = start.request, start.sides
        given = dataclasses.replace(
            start.options, workers=request.workers, scheduler=request.scheduler
        )
        # The reverse pass is cut by the memory allowed, and its last bits depend on the cuts.
        plain = dataclasses.replace(as_plain(given, sides), max_memory=request.max_memory)
        self._searched = _items(start, material.parts.searched)
        self._held_out = _items(start, material.parts.held_out, len(self._searched))
        # Every measurement reads the pictures again, so they go where the models go: once a worker.
        pictures = [f for item in (*self._searched, *self._held_out) for f in item.sample.files]
        parts = repr(plain), str(request.compare_at), fingerprint(request, start)
        self._opening = Opening(
            plain,
            request.compare_at,
            self._searched[0],
            hashlib.sha256("\n".join(parts).encode()).hexdigest(),
            scheduler.send(list(dict.fromkeys([*files_needed(plain, sides), *pictures]))),
        )

    def contributions(self, *, held_out: bool = False) -> Generator[SampleContribution, None, None]:
        """What the gradients on each picture tell, in the order of `dealt`.

        Args:
            held_out: on those that decide, in ``HALVES`` parts.
        """
        folds = HALVES if held_out else FOLDS
        pictures = self._held_out if held_out else self._searched
        items = [pictures[at] for at in dealt(len(pictures), folds)]
        yield from in_order(ContributionWork(self._opening), items, self._scheduler)

    def measure(
        self, config: Config, weights: str, numbers: Numbers
    ) -> Generator[PictureMeasured, None, None]:
        """A configuration on each held-out picture, in order; see `Meter.measure`."""
        yield from self._measure(self._held_out, config, weights, numbers)

    def measure_searched(self, at: Sequence[int]) -> MeasureAll:
        """The same on pictures that are searched on.

        Args:
            at: their numbers.
        """
        return partial(self._measure, [self._searched[number] for number in at])

    def _measure(
        self, items: Sequence[SampleItem], config: Config, weights: str, numbers: Numbers
    ) -> Generator[PictureMeasured, None, None]:
        work = MeasureWork(self._opening, config, weights, numbers)
        yield from in_order(work, items, self._scheduler)


def _items(start: Start, positions: Sequence[int], first: int = 0) -> list[SampleItem]:
    """Numbered from ``first`` on, so that no two of a search have the same number."""
    return [SampleItem(first + n, start.samples[at]) for n, at in enumerate(positions)]
