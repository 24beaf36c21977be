"""What each segment of the memory plan is run with: parts of both graphs, their sessions open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

from qdebug.capture.parts import Part, Tap, local_part, side_part
from qdebug.capture.plan import Schedule, halves
from qdebug.capture.session import Session, SessionSettings
from qdebug.graph.model import Graph, TensorType
from qdebug.graph.multiplications import costs
from qdebug.graph.pairs import Pair


@dataclass(frozen=True)
class Opened:
    """A part of a graph and what runs it; None where there is nothing to run."""

    part: Part
    session: Session | None


@dataclass
class Stage:
    """One segment: the parts of each graph, and those that give the local values.

    The quant side may have two parts, which are run in turn: it takes longer than the float one,
    and what the first one gives is measured meanwhile.
    """

    positions: range
    float_side: Opened
    quant_sides: tuple[Opened, ...]
    local: tuple[Opened, ...] = ()
    unsized: set[str] = field(default_factory=set)
    """Outputs whose inferred shape turned out wrong; ONNX Runtime allocates them."""


@dataclass(frozen=True)
class TappedGraph:
    """A graph, and what is needed to cut parts out of it.

    Attributes:
        graph: float or quant graph.
        types: of its tensors.
        plan: when each node is needed.
        taps: the tensors to measure, by position of their pair.
        settings: how a part is run.
    """

    graph: Graph
    types: Mapping[str, TensorType]
    plan: Schedule
    taps: Sequence[Tap]
    settings: SessionSettings

    def open_taps(self, positions: range) -> Opened:
        """The part that gives some pairs, with its session."""
        taps = self.taps[positions.start : positions.stop]
        return self.open(side_part(self.graph, self.types, self.plan, positions, taps))

    def open(self, part: Part) -> Opened:
        """A part of the graph, with its session."""
        if not part.model.graph.output:
            return Opened(part, None)
        session = Session(part.model, self.graph, self.settings)
        part.model.Clear()  # the session has its own copy of the weights
        return Opened(part, session)

    @cached_property
    def costs(self) -> list[float]:
        """What each pair costs, by position."""
        by_node = costs(self.graph, self.types)
        nodes = self.plan.nodes
        return [sum(by_node[n] for n in nodes.get(at, ())) for at in range(len(self.taps))]


class Stages:
    """The stages of a plan, opened one ahead.

    Args:
        sides: float and quant graph.
        pairs: all of them.
        segments: positions of the pairs of each stage.
        local: shapes of the pairs whose local values are wanted, by position; None for none.
        opener: the thread that opens sessions.
        halved: local values come from two parts, which are run side by side.
        in_turn: the quant side has two parts, which are run one after the other.
    """

    def __init__(
        self,
        sides: tuple[TappedGraph, TappedGraph],
        pairs: Sequence[Pair],
        segments: Sequence[range],
        local: Mapping[int, tuple[int, ...]] | None,
        opener: ThreadPoolExecutor,
        *,
        halved: bool,
        in_turn: bool,
    ) -> None:
        self._float, self._quant = sides
        self._pairs, self._segments, self._local = pairs, segments, local
        self._opener, self._halved, self._in_turn = opener, halved, in_turn
        self._stages: dict[int, Future[Stage]] = {}

    def get(self, number: int) -> Stage:
        """The stage of a segment; the next one's sessions are opened meanwhile."""
        self.open_ahead(number)
        self.open_ahead(number + 1)
        return self._stages[number].result()

    def open_ahead(self, number: int) -> None:
        """Open a stage before it is needed."""
        if number < len(self._segments) and number not in self._stages:
            self._stages[number] = self._opener.submit(self._build, self._segments[number])

    def drop(self, number: int) -> None:
        """Close the sessions of a stage."""
        del self._stages[number]

    def close(self) -> None:
        """Close all sessions."""
        self._stages.clear()

    def _build(self, positions: range) -> Stage:
        parts = self._parts(positions) if self._in_turn else (positions,)
        return Stage(
            positions,
            self._float.open_taps(positions),
            tuple(map(self._quant.open_taps, parts)),
            tuple(self._open_local(positions)),
        )

    def _open_local(self, positions: range) -> Iterator[Opened]:
        """What gives the local values of a segment, in as many parts as are run at once."""
        if self._local is None:
            return
        quant = self._quant
        for some in self._parts(positions) if self._halved else (positions,):
            part = local_part(quant.graph, quant.types, self._pairs, self._local, some)
            if part is not None:
                yield quant.open(part)

    def _parts(self, positions: range) -> tuple[range, ...]:
        return halves(positions, self._quant.costs)
