"""The work on samples of a comparison that other processes share."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qdebug.capture.deployed import DeployedPair
from qdebug.capture.engine import Capture, CaptureSettings
from qdebug.capture.measuring import SampleParts
from qdebug.capture.session import SessionSettings
from qdebug.comparison.outputs import OutputRuns, OutputSample
from qdebug.comparison.sides import Side, feeds_of, load_sides, model_files, pair_sides, settled
from qdebug.errors import UsageError
from qdebug.graph.expand import expand
from qdebug.options import CompareOptions
from qdebug.preprocess import Sample
from qdebug.sharding.choose import choose_scheduler, threads_each
from qdebug.sharding.files import Contents, Sent, Unpacked
from qdebug.sharding.opened import Opened
from qdebug.sharding.shards import Scheduler, in_order

LEAST_MEMORY = 32 << 20
"""Bytes of captured tensors that a worker may hold, whatever its share is: below, a layer of a
usual network takes more by itself."""


@dataclass(frozen=True)
class SampleItem:
    """One sample, as it travels to a worker.

    Attributes:
        number: its place among all samples.
        sample: where it is read from.
        local: whether local error is measured on it.
        contents: of files that workers cannot see.
    """

    number: int
    sample: Sample
    local: bool = False
    contents: Contents = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class SampleResult:
    """What one sample gives: at every layer, and at the outputs."""

    layers: SampleParts
    outputs: OutputSample


@dataclass(frozen=True)
class SampleWork:
    """Both models on the samples of a shard; they are opened once a process.

    Attributes:
        options: of the comparison, as plain data.
        first: the first sample, by which every process pairs the graphs alike.
        count: number of samples of the comparison.
        key: tells one comparison from another.
        files: the models, where workers cannot see them.
    """

    options: CompareOptions
    first: SampleItem
    count: int
    key: str
    files: Sent

    def __call__(self, items: Sequence[SampleItem]) -> list[SampleResult]:
        """One result a sample."""
        runner = _OPENED.get(self.key + self.files.key, lambda: _Runner(self))
        return [runner.run(item) for item in items]


class _Runner:
    """Both models, paired and ready for samples."""

    def __init__(self, work: SampleWork) -> None:
        options = moved(work.options, work.files)
        self._sides = load_sides(options)
        settings = session_settings(options)
        with Unpacked(work.first.contents) as copies:
            first = feeds_of(work.first.sample.moved(copies.places), *self._sides)
        pairing = pair_sides(self._sides, settings, first)
        graphs = self._sides[0].graph, self._sides[1].graph
        limits = CaptureSettings(*settings, options.max_memory, bool(options.local))
        self._capture = Capture(*graphs, pairing.pairs, first, work.count, limits)
        pairs = pairing, expand(graphs[1])
        deployed = DeployedPair(graphs, settings)
        self._outputs = OutputRuns(
            self._sides, deployed, pairs, work.count, "none", options.ceiling
        )

    def run(self, item: SampleItem) -> SampleResult:
        with Unpacked(item.contents) as copies:
            feeds = feeds_of(item.sample.moved(copies.places), *self._sides)
        parts = SampleParts()
        self._capture.add_sample(*feeds, self._outputs.receive, local=item.local, parts=parts)
        return SampleResult(parts, self._outputs.sample(item.number, feeds))

    def close(self) -> None:
        self._capture.close()


_OPENED: Opened[_Runner] = Opened(_Runner.close)


def session_settings(options: CompareOptions) -> tuple[SessionSettings, SessionSettings]:
    """How the float and the quant graph are run."""
    threads = options.threads or 0
    float_provider, quant_provider = options.providers
    return (
        SessionSettings(threads=threads, provider=float_provider),
        SessionSettings(threads=threads, provider=quant_provider),
    )


def is_shared(options: CompareOptions) -> bool:
    """Whether other processes run the samples.

    Raises:
        UsageError: what is asked for needs all values in one process.
    """
    if options.workers == 1 and options.scheduler is None:
        return False
    name = "--scheduler" if options.scheduler is not None else "--workers"
    if options.board is not None:
        raise UsageError(
            f"{name} and --board do not go together",
            "the dump is of one input: leave the workers out",
        )
    if options.keep_tensors == "all":
        raise UsageError(
            f"{name} and --keep-tensors all do not go together", "keep worst:N, or leave one out"
        )
    return True


def shared_results(
    options: CompareOptions,
    sides: tuple[Side, Side],
    samples: Sequence[Sample],
    local: Sequence[bool],
) -> Iterator[SampleResult]:
    """What each sample gives, in order, run by the workers of the options.

    Args:
        options: of the comparison.
        sides: the models as this process has read them.
        samples: all of them.
        local: for each, whether local error is measured on it.

    Raises:
        QdebugError: what a worker raised, or workers were lost again and again.
    """
    items = [SampleItem(n, s, at) for n, (s, at) in enumerate(zip(samples, local, strict=True))]
    plain = as_plain(options, sides)
    parts = (repr(plain), *(side.graph.sha256 for side in sides), *(s.name for s in samples))
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    with choose_scheduler(options.workers, options.scheduler) as scheduler:
        sent = scheduler.send(files_needed(plain, sides))
        items = _as_seen(items, scheduler)
        work = SampleWork(plain, items[0], len(items), key, sent)
        yield from in_order(work, items, scheduler)


def _as_seen(items: Sequence[SampleItem], scheduler: Scheduler) -> list[SampleItem]:
    """The items, with the content of their files where workers do not see the first one's."""
    if all(scheduler.sees(path) for path in items[0].sample.files):
        return list(items)
    return [dataclasses.replace(item, contents=_read(item.sample)) for item in items]


def as_plain(options: CompareOptions, sides: tuple[Side, Side]) -> CompareOptions:
    """The options of one worker: what this process has settled is not settled again."""
    workers = options.workers if options.scheduler is None else 1
    return dataclasses.replace(
        options,
        float_model=Path(options.float_model).absolute(),
        quant_model=Path(options.quant_model).absolute(),
        qtable=Path(options.qtable).absolute() if options.qtable is not None else None,
        names=Path(options.names).absolute() if options.names is not None else None,
        preprocess=settled(sides[0]),
        quant_preprocess=settled(sides[1]),
        output=None,
        progress=None,
        refuse_slips=False,
        threads=threads_each(options.threads, workers),
        max_memory=max(options.max_memory // workers, LEAST_MEMORY),
    )


def files_needed(options: CompareOptions, sides: tuple[Side, Side]) -> list[Path]:
    """The files that both models are made of."""
    given = options.float_model, options.quant_model, options.qtable, options.names
    named = [Path(path) for path in given if path is not None]
    return list(dict.fromkeys([*named, *(p for p in model_files(sides) if p.exists())]))


def moved(options: CompareOptions, files: Sent) -> CompareOptions:
    """The options over a worker's copies of the files."""
    names = ("float_model", "quant_model", "qtable", "names")
    given = {name: getattr(options, name) for name in names}
    places = {n: files.places.get(Path(p), p) for n, p in given.items() if p is not None}
    return dataclasses.replace(options, **places)


def _read(sample: Sample) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sample.files}
