"""Measuring configurations on pictures that nothing was chosen on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks import Task, shaped_like
from qdebug.capture.session import SessionSettings
from qdebug.cure.loss import Loss
from qdebug.cure.network import Config, Engine, Network, Numbers
from qdebug.run.atomic import write_whole
from qdebug.run.tuning import Measured

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]
Values = Mapping[str, Array]

_FORM = 2


@dataclass(frozen=True)
class Picture:
    """One held-out picture.

    Attributes:
        feeds: of the quant graph.
        reference: the float model's values: its outputs and the loss's tensors.
    """

    feeds: Feeds
    reference: Values


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

    def number(self, references: Sequence[Values], tests: Sequence[Values]) -> float | None:
        """The number over some pictures; more is better."""
        if self.task is None:
            return None
        counts: dict[str, float] = {}
        kept = []
        for reference, test in zip(references, tests, strict=True):
            fitting = shaped_like({n: v for n, v in test.items() if n in reference}, reference)
            effect = self.task.judge(reference, fitting)
            kept.append(effect.kept)
            for key, value in effect.counts.items():
                counts[key] = counts.get(key, 0.0) + value
        if self.task.across is not None:
            counts |= self.task.across([k for k in kept if k is not None])
        return float(self.task.total(counts)[self.name])

    def numbers(self, references: Sequence[Values], tests: Sequence[Values]) -> tuple[float, ...]:
        """The number of each picture; nothing where there is none, or only one of all together."""
        if self.task is None or self.task.across is not None:
            return ()
        each = zip(references, tests, strict=True)
        found = (self.number([reference], [test]) for reference, test in each)
        return tuple(float("nan") if number is None else number for number in found)


class Journal:
    """Measurements that are done, a line of JSON each, so that a search can be taken up again.

    Args:
        path: the file; None keeps nothing.
        key: of models, pictures and what computes; a journal of another key is discarded.
    """

    def __init__(self, path: Path | None, key: str) -> None:
        self.done: dict[str, Measured] = {}
        self._file: IO[str] | None = None
        if path is None:
            return
        head = json.dumps({"qdebug.tune": _FORM, "key": key})
        lines = path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
        if lines[:1] == [head]:
            self.done = dict(found for line in lines[1:] if (found := _read(line)) is not None)
        kept = [_line(key, measured) for key, measured in self.done.items()]
        write_whole(path, "".join(f"{line}\n" for line in (head, *kept)).encode())
        self._file = path.open("a", encoding="utf-8")

    def add(self, key: str, measured: Measured) -> None:
        """Note one measurement."""
        self.done[key] = measured
        if self._file is not None:
            self._file.write(f"{_line(key, measured)}\n")
            self._file.flush()

    def close(self) -> None:
        """Keep the file."""
        if self._file is not None:
            self._file.close()


def _line(key: str, measured: Measured) -> str:
    return json.dumps([key, *dataclasses.astuple(measured)])


def _read(line: str) -> tuple[str, Measured] | None:
    try:
        key, loss, sqnr, task, each, tasks = json.loads(line)
        number = None if task is None else float(task)
        spread = tuple(map(float, each)), tuple(map(float, tasks))
        return str(key), Measured(float(loss), float(sqnr), number, *spread)
    except (ValueError, TypeError):
        return None


def _digest(numbers: Numbers) -> str:
    """Of a set of weights and biases: what was measured with another set does not count."""
    found = hashlib.sha256()
    for tensor in sorted(numbers):
        found.update(tensor.encode())
        found.update(np.ascontiguousarray(numbers[tensor]).tobytes())
    return found.hexdigest()


class Proof:
    """The held-out pictures, and what every configuration does on them.

    Args:
        network: the pair of graphs.
        pictures: held out.
        loss: what an error costs.
        judge: of the task.
        settings: how configurations are run.
        journal: measurements that are known already.
        check: raises where the work is to stop; asked before each picture.
    """

    def __init__(
        self,
        network: Network,
        pictures: Sequence[Picture],
        loss: Loss,
        judge: Judge,
        settings: SessionSettings,
        journal: Journal,
        check: Callable[[], None],
    ) -> None:
        self.network, self.pictures, self.loss, self.judge = network, pictures, loss, judge
        self.settings, self.journal, self.check = settings, journal, check
        self._weights = [loss.weights(p.reference) for p in pictures]
        self._tensors = list(dict.fromkeys((*network.outputs, *loss.tensors)))
        self._engine: tuple[str, Engine] | None = None
        self._runs = 0
        self._numbers: dict[str, Numbers] = {}
        self._digests: dict[str, str] = {}

    @property
    def runs(self) -> int:
        """Runs of configurations so far."""
        return self._runs + (self._engine[1].runs if self._engine is not None else 0)

    @property
    def known(self) -> frozenset[str]:
        """Names of the sets of weights and biases, beside the given one."""
        return frozenset(self._numbers)

    def numbers(self, name: str) -> Numbers:
        """A set of weights and biases; empty for the given one."""
        return self._numbers.get(name, {})

    def know(self, name: str, numbers: Numbers) -> None:
        """Give a set of weights and biases its name."""
        self._numbers[name] = numbers
        self._digests[name] = _digest(numbers)
        self.release()

    def forget(self, name: str) -> None:
        """Give the memory back that a set of weights and biases takes."""
        self._numbers.pop(name, None)
        self.release()

    def release(self) -> None:
        """Give the memory of the session back; the next measurement opens another."""
        if self._engine is not None:
            self._runs += self._engine[1].runs
        self._engine = None

    def measure(self, config: Config, numbers: str) -> Measured:
        """The mean loss and the task's number of a configuration.

        Args:
            config: of the quantizers.
            numbers: name of the weights and biases.
        """
        key = f"{self._digests.get(numbers, numbers)}|{config}"
        if key not in self.journal.done:
            self.journal.add(key, self._measure(config, numbers))
        return self.journal.done[key]

    def _measure(self, config: Config, numbers: str) -> Measured:
        engine, found = self._opened(numbers), []
        for picture in self.pictures:
            self.check()
            found.append(engine.run(picture.feeds, config))
        return self.judged(found)

    def judged(self, found: Sequence[Values]) -> Measured:
        """Loss, SQNR and task of some values of the held-out pictures."""
        references = [p.reference for p in self.pictures]
        losses = [
            self.loss.value(r, v, w)
            for r, v, w in zip(references, found, self._weights, strict=True)
        ]
        return Measured(
            float(np.mean(losses)),
            self._sqnr(references, found),
            self.judge.number(references, found),
            tuple(losses),
            self.judge.numbers(references, found),
        )

    def _sqnr(self, references: Sequence[Values], found: Sequence[Values]) -> float:
        signal = noise = 0.0
        for reference, values in zip(references, found, strict=True):
            for name in self.loss.tensors:
                wanted = np.asarray(reference[name], np.float64)
                apart = np.asarray(values[name], np.float64).reshape(wanted.shape) - wanted
                signal += float((wanted * wanted).sum())
                noise += float((apart * apart).sum())
        if noise == 0.0:
            return float("inf")
        return (
            float(10 * np.log10(signal / noise)) if signal and np.isfinite(noise) else float("-inf")
        )

    def _opened(self, numbers: str) -> Engine:
        """The session of some weights; one at a time is held, for each takes a network's memory."""
        if self._engine is None or self._engine[0] != numbers:
            self.release()
            given = self.numbers(numbers)
            self._engine = numbers, Engine(self.network, self._tensors, given, self.settings)
        return self._engine[1]
