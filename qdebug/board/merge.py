"""The dumps of several samples as one board: numbers over all, a layer's own by the worst."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.board.layouts import ALIKE, correlation
from qdebug.board.matching import Matched
from qdebug.board.outcome import BoardOutcome
from qdebug.capture.state import error_metrics
from qdebug.metrics.moments import Moments
from qdebug.run.board_results import BoardDump, BoardLayer
from qdebug.vocabulary.numbers import plural

Array = npt.NDArray[Any]

_KEPT = 4096
"""Values of an input or output, evenly spread, that samples are told apart by."""
_CLEARLY = 0.5
"""Share of its own sample's unexplained variance that another sample's may have. By judgement."""


@dataclass(frozen=True)
class OfSample:
    """What the dump of one sample gave.

    Attributes:
        match: the dump and the sample's number.
        outcome: its numbers.
        moments: of the board against the simulation, and against float, by position.
        tensors: names in the dump.
    """

    match: Matched
    outcome: BoardOutcome
    moments: Mapping[int, tuple[Moments, Moments]]
    tensors: frozenset[str]


class Ends:
    """A few values of each sample's inputs and outputs: in the models, and in the dumps.

    Args:
        inputs: positions of the model's inputs.
        outputs: of its outputs.
    """

    def __init__(self, inputs: Collection[int], outputs: Collection[int]) -> None:
        self._inputs, self._all = frozenset(inputs), frozenset(inputs) | frozenset(outputs)
        self._models: dict[int, dict[int, Array]] = {}
        self._dumps: dict[int, dict[int, Array]] = {}

    @property
    def positions(self) -> frozenset[int]:
        """Of inputs and outputs."""
        return self._all

    def in_model(self, number: int, at: int, value: Array) -> None:
        """Take the simulation's value of a sample."""
        if at in self._all:
            self._models.setdefault(number, {})[at] = _few(value)

    def in_dump(self, number: int, at: int, value: Array) -> None:
        """Take the value that the sample's dump has."""
        if at in self._all:
            self._dumps.setdefault(number, {})[at] = _few(value)

    def other(self, number: int) -> tuple[int, float, float] | None:
        """The sample that a dump fits better than its own; its likeness to its own, and to that.

        Judged by the inputs, where they are dumped, else by the outputs; None where it fits its
        own, or none.
        """
        dump = self._dumps.get(number, {})
        chosen = {at: v for at, v in dump.items() if at in self._inputs} or dump
        likes = {
            other: like
            for other, values in self._models.items()
            if (like := _likeness(chosen, values)) is not None
        }
        own = likes.pop(number, None)
        best = max(likes, key=lambda other: likes[other], default=None)
        if own is None or best is None or likes[best] < ALIKE:
            return None
        return (best, own, likes[best]) if 1 - likes[best] <= _CLEARLY * (1 - own) else None


def _few(value: Array) -> Array:
    flat = value.reshape(-1)
    return np.array(flat[:: max(1, flat.size // _KEPT)], np.float32)


def _likeness(dump: Mapping[int, Array], model: Mapping[int, Array]) -> float | None:
    """Of the least alike tensor; None where no size fits."""
    both = [(v, model[at]) for at, v in dump.items() if at in model and v.size == model[at].size]
    return min((correlation(one, two) for one, two in both), default=None)


def merged(found: Sequence[OfSample], ends: Ends, names: Sequence[str]) -> BoardOutcome:
    """One outcome of several.

    Args:
        found: of each dump, in the order of the samples.
        ends: inputs and outputs of all samples.
        names: of all samples.
    """
    first = found[0].outcome
    if len(found) == 1 and found[0].match.by == "first":
        return first
    dumps = tuple(_dump(item, ends, names) for item in found)
    notes = (*first.info.notes, *_lacking(found))
    info = replace(first.info, samples=len(found), dumps=dumps, notes=notes)
    if len(found) > 1 and found[0].match.by != "run":
        name, title = found[0].match.path.parent.name, f"{len(found)} dumps, {first.info.title}"
        info = replace(info, name=name, title=title)
    reason = next((x.outcome.input_reason for x in found if x.outcome.input_reason), "")
    return replace(
        first,
        info=info,
        layers={at: _layer(at, found, names) for at in first.layers},
        again={
            at: max(x.outcome.again.get(at, 0.0) for x in found)
            for at in sorted({at for x in found for at in x.outcome.again})
        },
        left=frozenset[int]().union(*(x.outcome.left for x in found)),
        exchanged={at: to for x in found for at, to in x.outcome.exchanged.items()},
        input_reason=reason,
    )


def _dump(item: OfSample, ends: Ends, names: Sequence[str]) -> BoardDump:
    match, better = item.match, ends.other(item.match.number)
    plain = BoardDump(match.path.name, names[match.number], match.by)
    if better is None:
        return plain
    other, own, there = better
    return replace(plain, fits=names[other], likeness=own, likeness_there=there)


def _lacking(found: Sequence[OfSample]) -> Iterator[str]:
    """Dumps without tensors that others hold."""
    every = frozenset[str]().union(*(item.tensors for item in found))
    short = [item for item in found if item.tensors != every]
    if short:
        lost = len(every - short[0].tensors)
        count = plural(len(short), "dump lacks", "dumps lack")
        yield f"{count} tensors that others hold, {short[0].match.path.name} {lost} of them"


def _layer(at: int, found: Sequence[OfSample], names: Sequence[str]) -> BoardLayer:
    """A layer over all samples that have it."""
    having = [x for x in found if at in x.moments]
    if not having:
        return found[0].outcome.layers[at]
    least = min(having, key=lambda x: _or(x.outcome.layers[at].likeness, 1.0)).outcome.layers[at]
    worst = max(having, key=lambda x: _own_size(x.outcome.layers[at]))
    of_worst = worst.outcome.layers[at]
    sums = Moments.empty(), Moments.empty()
    for item in having:
        for total, part in zip(sums, item.moments[at], strict=True):
            total.add(part.total())
    return replace(
        least,
        against_quant=error_metrics(sums[0]),
        against_float=error_metrics(sums[1]),
        own=of_worst.own,
        own_steps=of_worst.own_steps,
        own_gain=of_worst.own_gain,
        own_gain_steps=of_worst.own_gain_steps,
        own_offset_steps=of_worst.own_offset_steps,
        nonfinite=max(x.outcome.layers[at].nonfinite for x in having),
        own_nonfinite=of_worst.own_nonfinite,
        sample=names[worst.match.number] if _is_measured(of_worst) else "",
    )


def _is_measured(layer: BoardLayer) -> bool:
    return layer.own is not None or layer.own_nonfinite > 0


def _own_size(layer: BoardLayer) -> tuple[int, float, float, float]:
    """What the worst sample of a layer is the largest in: NaN, steps, factor, noise."""
    if layer.own is None:
        return layer.own_nonfinite, -math.inf, 0.0, -math.inf
    gain = abs(_or(layer.own_gain, 1.0) - 1)
    return layer.own_nonfinite, _or(layer.own_steps, 0.0), gain, -layer.own.sqnr_db


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
