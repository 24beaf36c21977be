"""The memory plan: which pairs are captured together, so that the cap on memory holds.

The float graph's pairs stand in execution order. A *segment* is a run of consecutive pairs whose
tensors are held at the same time; what a later segment still reads is carried over, so no node is
run twice. Peak memory of a segment is what it captures plus what is carried across it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from qdebug.graph.model import Graph
from qdebug.graph.rewrite import constants_of
from qdebug.graph.walk import walk


@dataclass(frozen=True)
class Plan:
    """Consecutive ranges of pairs.

    Attributes:
        segments: half-open ranges of pair positions, covering all.
        peak: bytes held at once in the largest segment, as far as sizes are known.
        cap: bytes allowed.
    """

    segments: tuple[range, ...]
    peak: int
    cap: int

    def describe(self) -> str:
        """One sentence for ``-v``."""
        mib = self.peak / 2**20
        what = f"{len(self.segments)} segment{'s' if len(self.segments) > 1 else ''}"
        over = "" if self.peak <= self.cap else " (one layer alone exceeds the cap)"
        return f"memory plan: {what}, at most {mib:.0f} MiB of tensors at a time{over}"


def plan_segments(
    captured: Sequence[int], carried: Sequence[int], cap: int, most: int | None = None
) -> Plan:
    """Cut pairs into segments, each as long as the cap allows.

    Args:
        captured: bytes that capturing each pair takes.
        carried: bytes that live across the cut before each pair, one more than there are pairs.
        cap: bytes allowed.
        most: pairs that a segment may have; None for any number.
    """
    segments: list[range] = []
    peak, start, held = 0, 0, 0
    for position, size in enumerate(captured):
        needed = carried[start] + held + size + carried[position + 1]
        if position > start and (needed > cap or position - start == most):
            segments.append(range(start, position))
            start, held = position, 0
            needed = carried[start] + size + carried[position + 1]
        held += size
        peak = max(peak, needed)
    segments.append(range(start, len(captured)))
    return Plan(tuple(segments), peak, cap)


def halves(positions: range, costs: Sequence[float]) -> tuple[range, ...]:
    """Two runs of positions that cost about the same, or one where there is nothing to cut.

    Args:
        positions: one after the other.
        costs: of every position.
    """
    left, whole = 0.0, sum(costs[at] for at in positions)
    for at in positions[:-1]:
        left += costs[at]
        if left + costs[at + 1] / 2 >= whole / 2:
            return range(positions.start, at + 1), range(at + 1, positions.stop)
    return (positions,)


@dataclass(frozen=True)
class Schedule:
    """When each node of one graph is first needed, for targets in a given order.

    Attributes:
        position: node index to the position of the first target that needs it. Nodes that no
            target needs, and those that depend on no input, are not in it.
        constant: indices of nodes that depend on no input; each part that needs one repeats it.
        taken: target to the last position it is a target of.
    """

    position: dict[int, int]
    constant: frozenset[int]
    taken: dict[str, int]

    def last_use(self, graph: Graph, tensor: str) -> int:
        """The last position at which a tensor of the graph is read or a target; -1 without any."""
        readers = graph.readers.get(tensor, ())
        uses = (self.position.get(node.index, -1) for node in readers)
        return max(self.taken.get(tensor, -1), max(uses, default=-1))

    @cached_property
    def nodes(self) -> dict[int, list[int]]:
        """Indices of the nodes that are first needed at each position."""
        found: dict[int, list[int]] = {}
        for index, at in self.position.items():
            found.setdefault(at, []).append(index)
        return found


def schedule(graph: Graph, targets: Sequence[Iterable[str]]) -> Schedule:
    """Assign every needed node to the first target that needs it.

    A node's inputs are needed no later than the node itself, so cutting by position never cuts
    an edge backwards.

    Args:
        graph: the graph.
        targets: for each position, the tensors to be computed there.
    """
    names = constants_of(graph)
    constant = frozenset(n.index for n in graph.nodes if all(o in names for o in n.outputs if o))
    position: dict[int, int] = {}
    done = set(constant)
    for at, tensors in enumerate(targets):
        new = _unscheduled(graph, tensors, done)
        position.update(dict.fromkeys(new, at))
        done |= new
    taken = {tensor: at for at, tensors in enumerate(targets) for tensor in tensors}
    return Schedule(position, constant, taken)


def _unscheduled(graph: Graph, tensors: Iterable[str], done: set[int]) -> set[int]:
    """Indices of the nodes that the tensors need besides those that are done."""

    def is_open(tensor: str) -> bool:
        node = graph.producer.get(tensor)
        return node is not None and node.index not in done

    def before(tensor: str) -> tuple[str, ...]:
        return graph.sources(tensor) if is_open(tensor) else ()

    return {graph.producer[tensor].index for tensor in walk(tensors, before) if is_open(tensor)}


def carried_bytes(
    graph: Graph,
    plan: Schedule,
    count: int,
    sizes: dict[str, int],
    readers: dict[str, int] | None = None,
) -> list[int]:
    """Bytes that live across the cut before each of ``count`` positions, and after the last.

    Args:
        graph: the graph.
        plan: its schedule.
        count: number of positions.
        sizes: bytes of each tensor; unknown ones count as nothing.
        readers: further last uses of tensors, by position.
    """
    change = [0] * (count + 2)
    for name, node in graph.producer.items():
        born = plan.position.get(node.index)
        if born is None:
            continue
        last = max(plan.last_use(graph, name), (readers or {}).get(name, -1))
        if last > born:
            change[born + 1] += sizes.get(name, 0)
            change[last + 1] -= sizes.get(name, 0)
    total, carried = 0, []
    for delta in change[: count + 1]:
        total += delta
        carried.append(total)
    return carried
