"""Sensitivity: what quantizing one layer alone does to the model's outputs.

The quant layer's output for float inputs is known from the local pass. It is put in place of the
float tensor, and only what lies downstream of it is run again, in the float graph: the network is
cut into groups of layers, each with one session that begins at the group's first layer and takes
the float run's tensors from there. Within a group a layer is switched by adding the difference
of the two values, which is zero for all others. Several layers run side by side, each on its share
of the processors, which small networks use better than all of them together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from qdebug import interrupts
from qdebug.analysis.journal import Journal
from qdebug.capture.engine import Capture, CaptureSettings
from qdebug.capture.plan import Schedule, schedule
from qdebug.capture.session import Session, side_by_side
from qdebug.graph.model import Graph, Node
from qdebug.graph.pairs import Pair
from qdebug.graph.rewrite import PREFIX, PartBuilder
from qdebug.metrics.metric import cosine, sqnr_db
from qdebug.metrics.moments import Moments, include, measure
from qdebug.progress import Progress, Silent
from qdebug.run.model import Sensitivity

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]

GROUPS = 12
"""Sessions for one network: more of them skip more work upstream and take longer to open. By
judgement."""
_FLOAT = onnx.TensorProto.FLOAT


def measure_sensitivity(
    graphs: tuple[Graph, Graph],
    pairs: Sequence[Pair],
    samples: Iterable[tuple[Feeds, Feeds]],
    settings: CaptureSettings,
    *,
    count: int,
    only: Collection[int] | None = None,
    journal: Journal | None = None,
    progress: Progress | None = None,
) -> dict[int, Sensitivity]:
    """Sensitivity of every layer, by position of its pair.

    Args:
        graphs: float and quant graph.
        pairs: in execution order of the float graph.
        samples: inputs of the float and the quant graph.
        settings: sessions and threads.
        count: number of samples.
        only: positions of the pairs to measure; None for all.
        journal: what an interrupted measurement has done already; None to begin anew.
        progress: told about each layer of each sample.

    Returns:
        Layers that cannot be switched (inputs, tensors that are not float32) are left out.

    Raises:
        ModelError: a run failed.
    """
    chosen = range(len(pairs)) if only is None else sorted(only)
    work = _Work(graphs, pairs, chosen, settings, journal or Journal(), progress or Silent(), count)
    try:
        for number, (float_feeds, quant_feeds) in enumerate(samples):
            interrupts.check()
            work.add_sample(number, float_feeds, quant_feeds)
        return work.result()
    finally:
        work.close()


def with_shares(found: Mapping[int, Sensitivity]) -> dict[int, Sensitivity]:
    """Each layer's share of the noise that all of them, each alone, make at its worst output."""
    noise = {at: {o: _noise(db) for o, db in s.per_output.items()} for at, s in found.items()}
    total: dict[str, float] = {}
    for powers in noise.values():
        for output, power in powers.items():
            total[output] = total.get(output, 0.0) + power
    shared = {}
    for at, sensitivity in found.items():
        all_ = total.get(sensitivity.output, 0.0)
        known = 0 < all_ < math.inf
        share = noise[at][sensitivity.output] / all_ if known else None
        shared[at] = replace(sensitivity, share=share)
    return shared


def _noise(sqnr_db: float) -> float:
    """Noise over signal; infinite where that is not known."""
    return math.inf if math.isnan(sqnr_db) else 10 ** (-sqnr_db / 10)


@dataclass
class _Group:
    """Consecutive layers, and the session that runs from the first of them to the outputs."""

    positions: range
    session: Session
    switches: dict[int, str]
    ranks: dict[int, int]


class _Work:
    def __init__(
        self,
        graphs: tuple[Graph, Graph],
        pairs: Sequence[Pair],
        chosen: Sequence[int],
        settings: CaptureSettings,
        journal: Journal,
        progress: Progress,
        samples: int,
    ) -> None:
        self.chosen = chosen
        self.float_graph, self.quant_graph = graphs
        self.pairs, self.settings = pairs, replace(settings, local=True)
        self.journal, self.progress, self.samples = journal, progress, samples
        self.outputs = [o for o in self.float_graph.outputs if self._is_real(o)]
        targets = [[p.float_tensor] for p in pairs]
        self.plan = schedule(self.float_graph, [*targets, self.outputs])
        self.groups: dict[int, _Group] = {}
        self.capture: Capture | None = None
        self.sample = 0
        self.reference: dict[str, Array] = {}
        deployed = settings.float_session.deployed
        self.whole = Session(self.float_graph.whole, self.float_graph, deployed)
        count, self.shared = side_by_side(deployed, settings.max_memory)
        self.pool = ThreadPoolExecutor(count, thread_name_prefix="qdebug-sensitivity")
        progress.stage("sensitivity", len(chosen) * samples)

    def add_sample(self, number: int, float_feeds: Feeds, quant_feeds: Feeds) -> None:
        self.sample = number
        if all((number, at) in self.journal.done for at in self.chosen):
            self.progress.advance(len(self.chosen))
            return
        self.reference = self.whole.run(float_feeds, self.outputs, release=True)
        if self.capture is None:
            self.capture = Capture(
                self.float_graph,
                self.quant_graph,
                self.pairs,
                (float_feeds, quant_feeds),
                1,
                self.settings,
                segments=list(_groups(len(self.pairs))),
                observer=self._observe,
            )
        self.capture.add_sample(float_feeds, quant_feeds)
        for at in self.chosen:
            if (number, at) not in self.journal.done:
                self.journal.add(number, at, {})
                self.progress.advance()

    def close(self) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)
        if self.capture is not None:
            self.capture.close()

    def result(self) -> dict[int, Sensitivity]:
        found: dict[int, Sensitivity] = {}
        for at in self.chosen:
            total: dict[str, Moments] = {}
            for sample in range(self.samples):
                for name, moments in self.journal.done.get((sample, at), {}).items():
                    include(total, name, moments)
            if total:
                found[at] = _sensitivity(total)
        return found

    def _observe(
        self,
        positions: range,
        reached: Feeds,
        float_values: Mapping[int, Array],
        local_values: Mapping[int, Array],
    ) -> None:
        asked = [at for at in positions if at in self.chosen]
        todo = [at for at in asked if (self.sample, at) not in self.journal.done]
        if not todo:
            self.progress.advance(len(asked))
            return
        group = self._group(positions, float_values)
        chosen = [at for at in todo if at in local_values and at in group.switches]

        def work(at: int) -> dict[str, Moments]:
            delta = local_values[at] - float_values[at]
            return self._moments(group, at, reached, delta, is_last=at == chosen[-1])

        for at, moments in zip(chosen, self._side_by_side(work, chosen), strict=True):
            self.journal.add(self.sample, at, moments)
            self.progress.advance()

    def _side_by_side(
        self, work: Callable[[int], dict[str, Moments]], chosen: Sequence[int]
    ) -> Iterator[dict[str, Moments]]:
        """The results in order; the last one, which gives memory back, has begun when all ended."""
        yield from self.pool.map(work, chosen[:-1])
        yield from map(work, chosen[-1:])

    def _moments(
        self, group: _Group, at: int, reached: Feeds, delta: Array, *, is_last: bool
    ) -> dict[str, Moments]:
        """Moments of every output with one layer switched."""
        if not delta.any():
            return {name: measure(_flat(v), _flat(v)) for name, v in self.reference.items()}
        switches = {
            name: delta if other == at else np.zeros([1] * group.ranks[other], np.float32)
            for other, name in group.switches.items()
        }
        # An output that is ready before the group begins passes through.
        feeds = {**self.reference, **reached, **switches}
        values = group.session.run(feeds, release=is_last)
        return {
            name: measure(_flat(self.reference[name]), _flat(value))
            for name, value in zip(self.outputs, values.values(), strict=True)
        }

    def _group(self, positions: range, float_values: Mapping[int, Array]) -> _Group:
        if positions.start not in self.groups:
            self.groups[positions.start] = self._build_group(positions, float_values)
        return self.groups[positions.start]

    def _build_group(self, positions: range, float_values: Mapping[int, Array]) -> _Group:
        switches = {
            at: f"{PREFIX}switch/{at}"
            for at in positions
            if self._is_switchable(self.pairs[at].float_tensor) and at in float_values
        }
        ranks = {at: float_values[at].ndim for at in switches}
        model = suffix_model(
            self.float_graph,
            self.plan,
            positions.start,
            {self.pairs[at].float_tensor: (name, ranks[at]) for at, name in switches.items()},
            self.outputs,
        )
        session = Session(model, self.float_graph, self.shared)
        return _Group(positions, session, switches, ranks)

    def _is_real(self, tensor: str) -> bool:
        return self.float_graph.type_of(tensor).elem_type in (_FLOAT, 0)

    def _is_switchable(self, tensor: str) -> bool:
        return self._is_real(tensor) and tensor in self.float_graph.producer


def suffix_model(
    graph: Graph,
    plan: Schedule,
    start: int,
    switches: Mapping[str, tuple[str, int]],
    outputs: Sequence[str],
) -> onnx.ModelProto:
    """The float graph from a position on, with switches.

    Args:
        graph: the float graph.
        plan: when each node is needed.
        start: position of the first layer that is run.
        switches: tensor to the name and rank of the input that is added to it.
        outputs: tensors to compute; the model's outputs stand in the same order.
    """
    names = {tensor: f"{PREFIX}switched/{number}" for number, tensor in enumerate(switches)}
    kept = [
        node
        for node in graph.nodes
        if plan.position.get(node.index, -1) >= start or node.index in plan.constant
    ]
    needed = _needed(kept, outputs)
    nodes = [node for node in kept if node.index in needed]
    made = {name for node in nodes for name in node.outputs}
    reads = {name for node in nodes for name in node.reads} | set(outputs)
    builder = PartBuilder(graph)

    def switch(tensors: Iterable[str]) -> None:
        for tensor in tensors:
            if tensor in switches and tensor in reads:
                name, rank = switches[tensor]
                builder.add_input(name, _FLOAT, [None] * rank)
                builder.emit("Add", [tensor, name], names[tensor])

    for tensor in sorted(reads - made - set(graph.initializers)):
        known = graph.type_of(tensor)
        builder.add_input(tensor, known.elem_type or _FLOAT, known.shape)
        switch([tensor])
    for node in nodes:
        builder.add_nodes([node], names)
        switch(node.outputs)
    for tensor in outputs:
        builder.add_output(names.get(tensor, tensor))
    return builder.build()


def _needed(kept: Sequence[Node], outputs: Iterable[str]) -> set[int]:
    """Indices of the kept nodes that an output depends on."""
    wanted, found = set(outputs), set()
    for node in reversed(kept):
        if wanted.intersection(node.outputs):
            found.add(node.index)
            wanted.update(node.reads)
    return found


def _groups(count: int) -> Iterator[range]:
    edges = np.linspace(0, count, min(GROUPS, max(count, 1)) + 1).astype(int)
    for start, stop in pairwise(edges.tolist()):
        yield range(start, stop)


def _sensitivity(moments: Mapping[str, Moments]) -> Sensitivity:
    by_output = {name: float(sqnr_db(m)[0]) for name, m in moments.items()}
    worst = min(by_output, key=lambda name: by_output[name])
    return Sensitivity(by_output[worst], float(cosine(moments[worst])[0]), worst, by_output)


def _flat(value: Array) -> Array:
    return np.asarray(value, np.float32).reshape(-1)
