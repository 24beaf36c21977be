"""What one configuration does on one picture: its loss, its error, its decisions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks import Task, shaped_like
from qdebug.analysis.tasks.task import Effect
from qdebug.capture.session import SessionSettings
from qdebug.cure.loss import Loss
from qdebug.cure.network import Config, Engine, Network, Numbers

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]
Values = Mapping[str, Array]


@dataclass(frozen=True)
class Picture:
    """One held-out picture.

    Attributes:
        feeds: of the quant graph.
        reference: the float model's values: its outputs and the loss's tensors.
        weights: of every element in the loss.
    """

    feeds: Feeds
    reference: Values
    weights: Values


@dataclass(frozen=True)
class PictureMeasured:
    """What a configuration does on one picture; small enough to travel between processes.

    Attributes:
        loss: of the picture.
        powers: of each of the loss's tensors, the sums of float^2 and of (quant - float)^2.
        effect: on the task's decisions, without what is for people; None where no task is judged.
    """

    loss: float
    powers: tuple[tuple[float, float], ...]
    effect: Effect | None


class Judge:
    """The task's deciding number.

    Args:
        task: what the outputs are read as; None where it is not known.
    """

    def __init__(self, task: Task | None) -> None:
        self.task = task if task is not None and task.limits is not None else None

    @property
    def name(self) -> str:
        """Name of the number; empty where there is none."""
        return self.task.limits.number if self.task and self.task.limits else ""

    def effect(self, reference: Values, test: Values) -> Effect | None:
        """On the decisions about one picture; None where there is no number."""
        if self.task is None:
            return None
        fitting = shaped_like({n: v for n, v in test.items() if n in reference}, reference)
        return dataclasses.replace(self.task.judge(reference, fitting), facts={}, boxes=None)

    def number(self, effects: Sequence[Effect | None]) -> float | None:
        """The number over some pictures; more is better."""
        if self.task is None:
            return None
        known = [effect for effect in effects if effect is not None]
        counts: dict[str, float] = {}
        for effect in known:
            for key, value in effect.counts.items():
                counts[key] = counts.get(key, 0.0) + value
        if self.task.across is not None:
            counts |= self.task.across([e.kept for e in known if e.kept is not None])
        return float(self.task.total(counts)[self.name])

    def numbers(self, effects: Sequence[Effect | None]) -> tuple[float, ...]:
        """The number of each picture; nothing where there is none, or only one of all together."""
        if self.task is None or self.task.across is not None:
            return ()
        found = (self.number([effect]) for effect in effects)
        return tuple(float("nan") if number is None else number for number in found)


class Meter:
    """Runs configurations on pictures; one session at a time is held.

    Args:
        network: the pair of graphs.
        loss: what an error costs.
        judge: of the task.
        settings: how configurations are run.
    """

    def __init__(
        self, network: Network, loss: Loss, judge: Judge, settings: SessionSettings
    ) -> None:
        self.network, self.loss, self.judge, self.settings = network, loss, judge, settings
        self._tensors = list(dict.fromkeys((*network.outputs, *loss.tensors)))
        self._engine: tuple[str, Engine] | None = None
        self._runs = 0

    @property
    def runs(self) -> int:
        """Runs so far."""
        return self._runs + (self._engine[1].runs if self._engine is not None else 0)

    def measure(
        self, picture: Picture, config: Config, weights: str, numbers: Numbers
    ) -> PictureMeasured:
        """What a configuration does on a picture.

        Args:
            picture: what it is measured on.
            config: of the quantizers.
            weights: tells one set of weights and biases from another.
            numbers: the set.
        """
        values = self._opened(weights, numbers).run(picture.feeds, config)
        reference = picture.reference
        return PictureMeasured(
            self.loss.value(reference, values, picture.weights),
            tuple(_powers(reference[name], values[name]) for name in self.loss.tensors),
            self.judge.effect(reference, values),
        )

    def release(self) -> None:
        """Give the memory of the session back; the next measurement opens another."""
        if self._engine is not None:
            self._runs += self._engine[1].runs
        self._engine = None

    def _opened(self, weights: str, numbers: Numbers) -> Engine:
        """The session of some weights; each takes a network's memory."""
        if self._engine is None or self._engine[0] != weights:
            self.release()
            self._engine = weights, Engine(self.network, self._tensors, numbers, self.settings)
        return self._engine[1]


def _powers(wanted: Array, found: Array) -> tuple[float, float]:
    reference = np.asarray(wanted, np.float64)
    apart = np.asarray(found, np.float64).reshape(reference.shape) - reference
    return float((reference * reference).sum()), float((apart * apart).sum())
