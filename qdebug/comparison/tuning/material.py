"""What a search works on: the network, the pictures and their float outputs, the loss."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qdebug import interrupts
from qdebug.analysis.tasks import Task, prior_constants
from qdebug.analysis.tasks.recognize import choose_task
from qdebug.analysis.tasks.task import OutputFacts
from qdebug.capture.fetch import Fetcher
from qdebug.capture.session import SessionSettings
from qdebug.comparison.sides import Feeds, Side, feeds_of, pair_sides
from qdebug.comparison.tool import tool_info
from qdebug.comparison.tuning.request import check_tunable, compared_at, real_outputs
from qdebug.comparison.tuning.start import Start
from qdebug.cure.contributions import HALVES
from qdebug.cure.loss import Loss, loss_for
from qdebug.cure.meter import Picture
from qdebug.cure.network import Network
from qdebug.cure.pictures import ENOUGH_HELD_OUT, MOST_OF_BOXES, Split, check_signal
from qdebug.graph.expand import expand
from qdebug.graph.twin_outputs import quant_output_names
from qdebug.options import TuneOptions
from qdebug.preprocess import Sample
from qdebug.progress import Progress


@dataclass(frozen=True)
class Ground:
    """What a search stands on, whoever does its work: the same in every process.

    Attributes:
        sides: float and quant.
        network: the pair of graphs.
        task: what the outputs are read as; None where it is not recognized.
        loss: what an error costs.
        fetcher: of the float model's values.
        notes: what is to be said about it.
    """

    sides: tuple[Side, Side]
    network: Network
    task: Task | None
    loss: Loss
    fetcher: Fetcher
    notes: tuple[str, ...]

    def feeds(self, sample: Sample) -> tuple[Feeds, Feeds]:
        """What both graphs are fed with."""
        return feeds_of(sample, *self.sides)

    def values(self, float_feeds: Feeds) -> Mapping[str, Any]:
        """The float model's outputs and the loss's tensors."""
        names = dict.fromkeys((*self.network.outputs, *self.loss.tensors))
        return self.fetcher.values(list(names), float_feeds)

    def picture(self, quant_feeds: Feeds, values: Mapping[str, Any]) -> Picture:
        """A picture that decides."""
        return Picture(quant_feeds, values, self.loss.weights(values))

    @property
    def probes(self) -> int:
        """Runs of the reverse pass for each picture: detectors' losses scatter more."""
        return 2 if self.loss.candidates is not None else 1


@dataclass(frozen=True)
class Material:
    """What a search works on.

    Attributes:
        ground: the network, the task and the loss.
        parts: positions of the pictures.
        searched: of each picture to search on: the feeds of both graphs, and the float values.
        held_out: the pictures that decide.
        held_out_feeds: of the float graph, of each of them.
    """

    ground: Ground
    parts: Split
    searched: Sequence[tuple[Feeds, Feeds, Mapping[str, Any]]]
    held_out: Sequence[Picture]
    held_out_feeds: Sequence[Feeds]

    @property
    def network(self) -> Network:
        """The pair of graphs."""
        return self.ground.network

    @property
    def loss(self) -> Loss:
        """What an error costs."""
        return self.ground.loss

    @property
    def can_cross(self) -> bool:
        """Whether pictures of the search have to decide, too."""
        return len(self.held_out) < ENOUGH_HELD_OUT and len(self.searched) >= HALVES

    def as_held_out(self, number: int) -> Picture:
        """A picture of the search as one that decides.

        Args:
            number: among those searched.
        """
        _, feeds, values = self.searched[number]
        return self.ground.picture(feeds, values)


def lay_ground(
    sides: tuple[Side, Side],
    first: tuple[Feeds, Feeds],
    settings: SessionSettings,
    task: str | None,
    compare_at: str | None,
) -> Ground:
    """Pair the graphs, recognize the task and choose the loss.

    Args:
        sides: float and quant.
        first: feeds of the first picture that is searched on.
        settings: how graphs are run.
        task: what the user says it is.
        compare_at: tensors that the user wants to be compared at.

    Raises:
        QdebugError: the models are not fit for it.
    """
    notes: list[str] = []
    network = _network(sides, first, settings, notes)
    fetcher = Fetcher(network.float_graph, settings)
    outputs = fetcher.values(list(network.outputs), first[0])
    chosen = _task(sides, outputs, task)
    if chosen is None:
        notes.append("no task is recognized: the loss is taken on the raw outputs")
    loss = loss_for(
        network.float_graph,
        chosen,
        tuple(network.outputs),
        network.can_read,
        compared_at(compare_at, network),
    )
    return Ground(sides, network, chosen, loss, fetcher, tuple(notes))


def _network(
    sides: tuple[Side, Side],
    first: tuple[Feeds, Feeds],
    settings: SessionSettings,
    notes: list[str],
) -> Network:
    pairing = pair_sides(sides, (settings, settings), first)
    expansion = expand(sides[1].graph)
    if expansion.is_changed:
        pairing = expansion.pairing(pairing)
        notes.append("the operators on codes were written out as QDQ")
    graphs = sides[0].graph, expansion.graph
    names = quant_output_names(graphs[0].outputs, graphs[1].outputs, pairing)
    network = Network(*graphs, pairing, real_outputs(graphs, names))
    check_tunable(network)
    return network


def _task(sides: tuple[Side, Side], outputs: Mapping[str, Any], asked: str | None) -> Task | None:
    metadata = {**sides[1].graph.metadata, **sides[0].graph.metadata}
    size = sides[0].contract.size
    facts = OutputFacts(outputs, size, metadata, prior_constants(sides[0].graph))
    return choose_task(asked, facts)


def gather(
    request: TuneOptions, start: Start, settings: SessionSettings, progress: Progress
) -> Material:
    """Pair the graphs, and run the float model on the pictures.

    Raises:
        QdebugError: the models or the pictures are not fit for it.
    """
    parts, samples = start.parts, start.samples
    progress.stage("pairing the graphs")
    first = feeds_of(samples[parts.searched[0]], *start.sides)
    ground = lay_ground(start.sides, first, settings, request.task, request.compare_at)
    if ground.task is not None and ground.task.kind == "detection":
        parts = Split(parts.searched[:MOST_OF_BOXES], parts.held_out)
    progress.stage("running the float model", len(parts.searched) + len(parts.held_out))

    def run(at: int) -> tuple[Feeds, Feeds, Mapping[str, Any]]:
        interrupts.check()
        float_feeds, quant_feeds = ground.feeds(samples[at])
        values = ground.values(float_feeds)
        progress.advance()
        return float_feeds, quant_feeds, values

    searched = [run(at) for at in parts.searched]
    held_out = [run(at) for at in parts.held_out]
    check_signal([values for _, _, values in (*searched, *held_out)])
    proving = [ground.picture(feeds, values) for _, feeds, values in held_out]
    return Material(ground, parts, searched, proving, [feeds for feeds, _, _ in held_out])


def fingerprint(request: TuneOptions, start: Start) -> str:
    """Of all that measurements depend on: a search is taken up again only where it is the same."""
    parts = [side.graph.sha256 for side in start.sides]
    parts += [side.preprocess.spec for side in start.sides]
    parts += [sample.sha256 for sample in start.samples]
    parts += [str(request.task), str(request.compare_at), repr(tool_info(("cpu", "cpu")))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
