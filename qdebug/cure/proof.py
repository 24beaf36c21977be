"""Measuring configurations on pictures that nothing was chosen on."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from qdebug.cure.meter import Meter, Picture, PictureMeasured
from qdebug.cure.network import Config, Numbers
from qdebug.run.atomic import write_whole
from qdebug.run.tuning import Measured

_FORM = 2


MeasureAll = Callable[[Config, str, Numbers], Generator[PictureMeasured, None, None]]
"""Measures a configuration on all held-out pictures, in order; see `Meter.measure`."""


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
        meter: of the pair of graphs.
        pictures: held out.
        journal: measurements that are known already.
        check: raises where the work is to stop; asked before each picture.
        measure_all: measures on all pictures, where other processes do it; None to do it here.
    """

    def __init__(
        self,
        meter: Meter,
        pictures: Sequence[Picture],
        journal: Journal,
        check: Callable[[], None],
        measure_all: MeasureAll | None = None,
    ) -> None:
        self.meter, self.pictures, self.journal, self.check = meter, pictures, journal, check
        self.network, self.loss, self.judge = meter.network, meter.loss, meter.judge
        self._measure_all = measure_all or self._measure_here
        self._name = ""
        self._runs = 0
        self._numbers: dict[str, Numbers] = {}
        self._digests: dict[str, str] = {}

    def on(
        self, name: str, pictures: Sequence[Picture], measure_all: MeasureAll | None = None
    ) -> Proof:
        """The same on other pictures, with the same sets of weights and biases.

        Args:
            name: tells these pictures from others.
            pictures: to measure on.
            measure_all: as for the whole.
        """
        other = Proof(self.meter, pictures, self.journal, self.check, measure_all)
        other._name, other._numbers, other._digests = name, self._numbers, self._digests
        return other

    @property
    def runs(self) -> int:
        """Runs of configurations so far."""
        return self._runs

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
        self.meter.release()

    def measure(self, config: Config, numbers: str) -> Measured:
        """The mean loss and the task's number of a configuration.

        Args:
            config: of the quantizers.
            numbers: name of the weights and biases.
        """
        weights = self._digests.get(numbers, numbers)
        key = f"{self._name}{weights}|{config}"
        if key not in self.journal.done:
            self.journal.add(key, self._measure(config, weights, self.numbers(numbers)))
        return self.journal.done[key]

    def _measure(self, config: Config, weights: str, numbers: Numbers) -> Measured:
        self.check()
        found: list[PictureMeasured] = []
        with contextlib.closing(self._measure_all(config, weights, numbers)) as each:
            for one in each:
                found.append(one)
                self._runs += 1
                if len(found) < len(self.pictures):
                    self.check()
        effects = [one.effect for one in found]
        losses = tuple(one.loss for one in found)
        return Measured(
            float(np.mean(losses)),
            _sqnr(found),
            self.judge.number(effects),
            losses,
            self.judge.numbers(effects),
        )

    def _measure_here(
        self, config: Config, weights: str, numbers: Numbers
    ) -> Generator[PictureMeasured, None, None]:
        for picture in self.pictures:
            yield self.meter.measure(picture, config, weights, numbers)


def _sqnr(found: Sequence[PictureMeasured]) -> float:
    signal = noise = 0.0
    for one in found:
        for power, error in one.powers:
            signal += power
            noise += error
    if noise == 0.0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal and np.isfinite(noise) else float("-inf")
