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
from qdebug.comparison.outputs import quant_output_names
from qdebug.comparison.sides import Feeds, feeds_of, pair_sides
from qdebug.comparison.tool import tool_info
from qdebug.comparison.tuning.request import check_tunable, compared_at, real_outputs
from qdebug.comparison.tuning.start import Start
from qdebug.cure.loss import Loss, loss_for
from qdebug.cure.network import Network
from qdebug.cure.pictures import MOST_OF_BOXES, Split, check_signal
from qdebug.cure.proof import Picture
from qdebug.graph.expand import expand
from qdebug.options import TuneOptions
from qdebug.progress import Progress


@dataclass(frozen=True)
class Material:
    """What a search works on.

    Attributes:
        network: the pair of graphs.
        searched: of each picture to search on: the feeds of both graphs, and the float values.
        held_out: the pictures that decide.
        task: what the outputs are read as; None where it is not recognized.
        loss: what an error costs.
        notes: what is to be said about it.
    """

    network: Network
    searched: Sequence[tuple[Feeds, Feeds, Mapping[str, Any]]]
    held_out: Sequence[Picture]
    task: Task | None
    loss: Loss
    notes: tuple[str, ...]


def gather(
    request: TuneOptions, start: Start, settings: SessionSettings, progress: Progress
) -> Material:
    """Pair the graphs, and run the float model on the pictures.

    Raises:
        QdebugError: the models or the pictures are not fit for it.
    """
    return _Gathering(request, start, settings, progress).material()


class _Gathering:
    def __init__(
        self, request: TuneOptions, start: Start, settings: SessionSettings, progress: Progress
    ) -> None:
        self.request, self.start, self.settings, self.progress = request, start, settings, progress
        self.notes: list[str] = []

    def material(self) -> Material:
        parts = self.start.parts
        self.progress.stage("pairing the graphs")
        first = self._feeds(parts.searched[0])
        network = self._network(first)
        fetcher = Fetcher(network.float_graph, self.settings)
        task = self._task(fetcher.values(list(network.outputs), first[0]))
        loss = loss_for(
            network.float_graph,
            task,
            tuple(network.outputs),
            network.can_read,
            compared_at(self.request.compare_at, network),
        )
        if task is not None and task.kind == "detection":
            parts = Split(parts.searched[:MOST_OF_BOXES], parts.held_out)
        wanted = list(dict.fromkeys((*network.outputs, *loss.tensors)))
        self.progress.stage("running the float model", len(parts.searched) + len(parts.held_out))
        searched = [self._run(at, fetcher, wanted) for at in parts.searched]
        held_out = [self._run(at, fetcher, wanted) for at in parts.held_out]
        check_signal([values for _, _, values in (*searched, *held_out)])
        proving = [Picture(feeds, values) for _, feeds, values in held_out]
        return Material(network, searched, proving, task, loss, tuple(self.notes))

    def _feeds(self, at: int) -> tuple[Feeds, Feeds]:
        return feeds_of(self.start.samples[at], *self.start.sides)

    def _run(
        self, at: int, fetcher: Fetcher, wanted: Sequence[str]
    ) -> tuple[Feeds, Feeds, Mapping[str, Any]]:
        interrupts.check()
        float_feeds, quant_feeds = self._feeds(at)
        values = fetcher.values(wanted, float_feeds)
        self.progress.advance()
        return float_feeds, quant_feeds, values

    def _network(self, first: tuple[Feeds, Feeds]) -> Network:
        sides = self.start.sides
        pairing = pair_sides(sides, (self.settings, self.settings), first)
        expansion = expand(sides[1].graph)
        if expansion.is_changed:
            pairing = expansion.pairing(pairing)
            self.notes.append("the operators on codes were written out as QDQ")
        graphs = sides[0].graph, expansion.graph
        names = quant_output_names(graphs[0].outputs, graphs[1].outputs, pairing)
        network = Network(*graphs, pairing, real_outputs(graphs, names))
        check_tunable(network)
        return network

    def _task(self, outputs: Mapping[str, Any]) -> Task | None:
        side = self.start.sides[0]
        size = side.contract.size
        metadata = {**self.start.sides[1].graph.metadata, **side.graph.metadata}
        facts = OutputFacts(outputs, size, metadata, prior_constants(side.graph))
        task = choose_task(self.request.task, facts)
        if task is None:
            self.notes.append("no task is recognized: the loss is taken on the raw outputs")
        return task


def fingerprint(request: TuneOptions, start: Start) -> str:
    """Of all that measurements depend on: a search is taken up again only where it is the same."""
    parts = [side.graph.sha256 for side in start.sides]
    parts += [side.preprocess.spec for side in start.sides]
    parts += [sample.sha256 for sample in start.samples]
    parts += [str(request.task), str(request.compare_at), repr(tool_info(("cpu", "cpu")))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
