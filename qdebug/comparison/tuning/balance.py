"""Balanced channels, before anything else is searched: an edit of the float model, and its twin.

The edited float model gives the same outputs, which is measured. Its twin is quantized on the given
scheme and has to be better on the held-out pictures; all that follows is done with the two.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug import interrupts
from qdebug.capture.fetch import Fetcher
from qdebug.capture.session import SessionSettings
from qdebug.comparison.tuning.files import save_model, scheme_for, target_named
from qdebug.comparison.tuning.material import Ground, Material, lay_ground
from qdebug.comparison.tuning.start import Start, as_compared
from qdebug.cure.balance.factors import Manner, balanced
from qdebug.cure.balance.links import Link, find_links
from qdebug.cure.balance.twin import Reach, balanced_twin, can_follow, places_of
from qdebug.cure.float_edit import with_constants
from qdebug.cure.meter import Judge, Meter
from qdebug.cure.network import Network
from qdebug.cure.plan import GIVEN, to_db
from qdebug.cure.proof import Journal, Proof
from qdebug.cure.sites import Unit
from qdebug.cure.trials import judged
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.run.tuning import Cure, Measured

Array = npt.NDArray[Any]
_MANNERS: tuple[Manner, ...] = ("weights", "activations")
_EQUAL = 1e-4
"""Largest difference of an output, as a share of its largest number, that is only rounding: of
thousands of sums of 24 bits."""

_LEAST_DB = 1.0
"""What another float model has to win; by judgement."""


@dataclass(frozen=True)
class Balanced:
    """What balancing came to.

    Attributes:
        given: the given pair on the held-out pictures; None where nothing could be tried.
        cures: accepted and refused.
        notes: what is to be said about it.
        start: to go on with; None for the given one.
        runs: of whole graphs.
        hint: what could be tried, where that was not asked for.
        moved: float tensors whose values are other ones than in the given model.
    """

    given: Measured | None = None
    cures: tuple[Cure, ...] = ()
    notes: tuple[str, ...] = ()
    start: Start | None = None
    runs: int = 0
    hint: str = ""
    moved: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Seen:
    """What a float model does on the pictures searched.

    Attributes:
        outputs: by picture.
        reach: smallest and largest value of each tensor.
        peaks: of each link, the largest magnitude of each channel in its first tensor.
    """

    outputs: list[dict[str, Array]]
    reach: dict[str, tuple[float, float]]
    peaks: list[npt.NDArray[np.float64]]


class Balancing:
    """Tries to balance a pair.

    Args:
        start: the pair as given.
        material: of it.
        settings: how graphs are run.
        folder: for the edited pair.
    """

    def __init__(
        self, start: Start, material: Material, settings: SessionSettings, folder: Path
    ) -> None:
        self.start, self.material, self.settings = start, material, settings
        self.folder, self.network, self.runs = folder, material.network, 0
        self.scheme = scheme_for(target_named(start.request), material.network)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """Of the given pair."""
        return self.network.units(self.material.searched[0][1])

    def links(self) -> tuple[Link, ...]:
        """Those that both models can follow."""
        network = self.network
        found = find_links(network.float_graph, self.material.loss.tensors)
        places = places_of(network, found)
        return tuple(
            link for link in found if places.hold(link) and can_follow(network, self.units, link)
        )

    def run(self) -> Balanced:
        """Try both manners, and take the better one if it is proven."""
        links = self.links()
        if not links:
            return Balanced(notes=("no layers have channels that could be balanced",))
        before = self._seen(self.network.float_graph, links)
        given = self._measured(self.network)
        rounded = self._measured(self._ground(self._rounded(links, before)).network)
        start_of_all = min(given, rounded, key=lambda measured: measured.loss)
        cures: list[Cure] = []
        notes: list[str] = []
        best: tuple[float, Start] | None = None
        for manner in _MANNERS:
            made = self._made(links, before, manner)
            if isinstance(made, str):
                notes.append(made)
            elif made is not None:
                start, number = made
                measured = self._measured(self._ground(start).network)
                cures.append(self._cure(manner, number, start_of_all, measured))
                if cures[-1].accepted and (best is None or measured.loss < best[0]):
                    best = measured.loss, start
        chosen = None if best is None else best[1]
        moved = frozenset(t for link in links for t in link.tensors) if chosen else frozenset()
        done = _one_accepted(cures)
        return Balanced(given, done, tuple(notes), chosen, self.runs, moved=moved)

    def _made(
        self, links: Sequence[Link], before: _Seen, manner: Manner
    ) -> tuple[Start, int] | str | None:
        """The edited pair and the links changed; why there is none; None where nothing changes."""
        graph = self.network.float_graph
        values = balanced(links, _values(graph, links), manner, before.peaks)
        changed = sum(any(p.tensor in values for p in link.readers) for link in links)
        if not values:
            return None
        request = self.start.request
        assert request.float_out is not None
        folder = self.folder / manner
        folder.mkdir()
        path = folder / Path(request.float_out).name
        save_model(with_constants(graph, values), path)
        edited = load_graph(path)
        after = self._seen(edited, links)
        apart = _largest_difference(before.outputs, after.outputs)
        if not apart <= _EQUAL:
            return f"balanced by {manner}, the float model's outputs differ by {apart:.1e}: refused"
        return self._started(edited, values, (before.reach, after.reach)), changed

    def _rounded(self, links: Sequence[Link], seen: _Seen) -> Start:
        """The given pair, its weights rounded as those of balanced channels are.

        What rounding them again wins is none of balancing's.
        """
        graph = self.network.float_graph
        return self._started(graph, _values(graph, links), (seen.reach, seen.reach))

    def _started(
        self, float_graph: Graph, values: Mapping[str, Array], reach: tuple[Reach, Reach]
    ) -> Start:
        """The same beginning with a float model and its twin.

        Args:
            float_graph: the float model.
            values: its constants that are rounded for the twin.
            reach: of the tensors in between, of the given float model and of this one.
        """
        places = places_of(self.network, self.links())
        made = balanced_twin(self.network, self.units, values, places, reach, self.scheme)
        path = self.folder / f"twin_{len(list(self.folder.iterdir()))}.onnx"
        save_model(made, path)
        start, twin = self.start, load_graph(path)
        request = dataclasses.replace(start.request, float_model=float_graph.path)
        sides = tuple(
            dataclasses.replace(side, graph=graph)
            for side, graph in zip(start.sides, (float_graph, twin), strict=True)
        )
        options = as_compared(request, twin.path)
        return dataclasses.replace(
            start, request=request, options=options, sides=(sides[0], sides[1])
        )

    def _ground(self, start: Start) -> Ground:
        first = self.material.searched[0][:2]
        request = start.request
        return lay_ground(start.sides, first, self.settings, request.task, request.compare_at)

    def _measured(self, network: Network) -> Measured:
        """A pair as it is, on the held-out pictures."""
        material = self.material
        fast = dataclasses.replace(self.settings, reordered=True)
        meter = Meter(network, material.loss, Judge(material.ground.task), fast)
        proof = Proof(meter, material.held_out, Journal(None, ""), interrupts.check)
        found = proof.measure(network.given, GIVEN)
        self.runs += proof.runs
        return found

    def _seen(self, graph: Graph, links: Sequence[Link]) -> _Seen:
        """Run a float model on the pictures searched."""
        fetcher = Fetcher(graph, self.settings)
        between = list(dict.fromkeys(t for link in links for t in link.tensors))
        found = _Seen([], {}, [np.zeros(link.channels) for link in links])
        for feeds, _, _ in self.material.searched:
            interrupts.check()
            self.runs += 1
            values = fetcher.values([*graph.outputs, *between], feeds)
            found.outputs.append({name: values[name] for name in graph.outputs if name in values})
            for name in between:
                low, high = found.reach.get(name, (np.inf, -np.inf))
                value = values[name]
                found.reach[name] = min(low, float(value.min())), max(high, float(value.max()))
            for at, link in enumerate(links):
                rows = np.moveaxis(np.abs(values[link.tensors[0]]), link.axis, 0)
                peaks = rows.reshape(link.channels, -1).max(axis=1)
                found.peaks[at] = np.maximum(found.peaks[at], peaks)
        return found

    def _cure(self, manner: Manner, links: int, before: Measured, after: Measured) -> Cure:
        name = Judge(self.material.ground.task).name
        accepted, reason = judged(before, after, name)
        gain = to_db(before.loss) - to_db(after.loss)
        if accepted and gain < _LEAST_DB:
            accepted, reason = False, f"it wins less than {_LEAST_DB:g} dB"
        title = f"channels balanced by {manner} at {links} place{'s' if links > 1 else ''}"
        tasks = before.task, after.task
        return Cure("balance", title, (), None, gain, *tasks, 0.0, accepted, reason)


def _values(graph: Graph, links: Sequence[Link]) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for link in links:
        for part in (*link.parts, *([link.before] if link.before is not None else ())):
            value = graph.constant(part.tensor)
            assert value is not None
            found[part.tensor] = value
    return found


def _largest_difference(
    wanted: Sequence[Mapping[str, Array]], found: Sequence[Mapping[str, Array]]
) -> float:
    """As a share of the largest number of each output."""
    shares = [0.0]
    for one, other in zip(wanted, found, strict=True):
        for name, value in one.items():
            if value.dtype.kind == "f" and value.size:
                largest = float(np.abs(value).max())
                apart = float(np.abs(value.astype(np.float64) - other[name]).max())
                shares.append(apart / largest if largest else apart)
    return max(shares)


def _one_accepted(cures: Sequence[Cure]) -> tuple[Cure, ...]:
    """Of several accepted cures the best is; the others say so."""
    best = max((c.measured_db for c in cures if c.accepted), default=0.0)
    return tuple(
        dataclasses.replace(cure, accepted=False, reason="another manner wins more")
        if cure.accepted and cure.measured_db < best
        else cure
        for cure in cures
    )
