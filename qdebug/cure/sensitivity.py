"""Sensitivity of every layer at once, to first order.

What quantizing one layer alone does to the outputs is known after one run for each layer
(``analysis.sensitivity``). Here it is predicted from two things that few runs give for all layers
together: the error e that each layer makes by itself, fed with float inputs (the local pass), and
the gradient g of the outputs there. For a cotangent of random signs, the mean of ``(g . e)^2`` is
the noise power that e makes at the output, to first order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug import interrupts
from qdebug.capture.engine import Capture, CaptureSettings
from qdebug.capture.fetch import Fetcher
from qdebug.cure.contributions import random_signs
from qdebug.cure.runs import ReverseRuns
from qdebug.graph.model import Graph
from qdebug.graph.pairs import Pair
from qdebug.metrics.sqnr import level_db
from qdebug.progress import Progress, Silent
from qdebug.run.model import Sensitivity

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]

SAMPLES = 16
"""Samples that the prediction is made on; the prototype's order of layers did not change beyond 8
of them."""
PROBES = 2
"""Runs of the reverse pass for a sample, at most, where each output has one of them: a run costs 6
to 11 plain inferences and what the layers make by themselves 6 more, so that a ranking of all
layers costs 25."""
ENOUGH = 4
"""Runs of the reverse pass for each output that are enough: as many draws of a sum that is right in
the mean. By judgement."""
GROUPS = SAMPLES * PROBES
"""Outputs that have runs of their own, at most: no network costs more of them than the samples of a
small one do. Of more outputs, neighbours share their runs."""
_FLOAT = 1  # of onnx.TensorProto
_HELD_BYTES = 2
"""Of an error that is held: half precision, as a share of the largest. What that rounds is a
thousandth of it; the alternative is to run everything again for what did not fit."""


@dataclass(frozen=True)
class Predicted:
    """What is known of the layers' sensitivity.

    Attributes:
        layers: by position of the pair.
        unreached: position of a pair to one sentence that says why nothing is predicted for it.
        samples: that the prediction was made on.
        runs: of the reverse pass, all samples together.
        outputs: of the network, that it was asked about.
        groups: that these were asked about in; outputs of one group have one figure.
    """

    layers: Mapping[int, Sensitivity]
    unreached: Mapping[int, str]
    samples: int
    runs: int
    outputs: int = 0
    groups: int = 0


@dataclass
class _Power:
    """Noise of one layer at one output, over the runs."""

    correlated: float = 0.0
    """Sum of ``(g . e)^2``: right in the mean, and scattered by as much as it is large."""
    independent: float = 0.0
    """Sum of ``g^2 . e^2``: hardly scattered, and right where errors are independent."""
    square: float = 0.0
    """Sum of the squares of these, run by run."""

    def add(self, gradient: Array, error: Array) -> None:
        terms = np.multiply(gradient.reshape(-1), error.reshape(-1), dtype=np.float64)
        independent = float(np.dot(terms, terms))
        self.correlated += float(terms.sum()) ** 2
        self.independent += independent
        self.square += independent**2

    @property
    def noise(self) -> float:
        """The steady sum, unless the other one contradicts it.

        If errors are independent, ``g . e`` is a sum of many small terms with random signs, normal
        with variance s; its square has the mean s and the variance 2 s^2. Beyond two standard
        deviations of the sum they are not independent: a weight's error is the same everywhere.
        """
        scatter = math.sqrt(2 * self.square)
        related = abs(self.correlated - self.independent) > 2 * scatter
        return self.correlated if related else self.independent


def predict_sensitivity(
    graphs: tuple[Graph, Graph],
    pairs: Sequence[Pair],
    samples: Sequence[Callable[[], tuple[Feeds, Feeds]]],
    settings: CaptureSettings,
    progress: Progress | None = None,
) -> Predicted:
    """Sensitivity of every layer that the reverse pass reaches.

    Args:
        graphs: float and quant graph.
        pairs: in execution order of the float graph.
        samples: each gives the inputs of the float and the quant graph; ``SAMPLES`` of them, evenly
            taken, are used.
        settings: sessions and threads.
        progress: told about each sample.

    Raises:
        ModelError: a run failed.
    """
    if not any(graphs[0].type_of(o).elem_type in (_FLOAT, 0) for o in graphs[0].outputs):
        return Predicted({}, {}, 0, 0)
    work = _Work(graphs, pairs, len(_taken(samples)), settings, progress or Silent())
    try:
        for number, sample in enumerate(_taken(samples)):
            interrupts.check()
            work.add_sample(number, *sample())
        return work.result()
    finally:
        work.close()


def probes_of(samples: int, outputs: int) -> int:
    """Runs of the reverse pass for each of some samples: ``ENOUGH``, or what the cost allows."""
    groups = min(outputs, GROUPS)
    least, wanted = -(-groups // samples), -(-ENOUGH * groups // samples)
    return max(least, min(PROBES, wanted))


def _grouped(outputs: Sequence[str]) -> list[tuple[str, ...]]:
    """Outputs that share their runs; each alone as long as there are few."""
    parts = np.array_split(np.arange(len(outputs)), min(len(outputs), GROUPS))
    return [tuple(outputs[at] for at in part) for part in parts]


def _outputs_behind(graph: Graph, outputs: Sequence[str]) -> dict[str, int]:
    """Which outputs each tensor reaches: bit i for the i-th; in one walk over the graph."""
    found = {name: 1 << at for at, name in enumerate(outputs)}
    for node in reversed(graph.nodes):
        behind = 0
        for name in node.outputs:
            behind |= found.get(name, 0)
        for name in node.reads if behind else ():
            found[name] = found.get(name, 0) | behind
    return found


def _taken(samples: Sequence[Any]) -> list[Any]:
    count = min(len(samples), SAMPLES)
    return [samples[int(at)] for at in np.linspace(0, len(samples) - 1, count)]


@dataclass(frozen=True)
class _Held:
    """The error of a layer while it waits for its gradients."""

    shares: npt.NDArray[np.float16]
    peak: float

    @classmethod
    def of(cls, error: Array) -> _Held:
        """Hold an error, float32."""
        peak = float(np.abs(error).max(initial=0.0))
        whole = peak if 0 < peak < math.inf else 1.0
        return cls(np.asarray(error / whole, np.float16), peak)

    @property
    def value(self) -> Array:
        """The error, float32."""
        return np.asarray(self.shares.astype(np.float32) * np.float32(self.peak))


@dataclass
class _Work:
    graphs: tuple[Graph, Graph]
    pairs: Sequence[Pair]
    samples: int
    settings: CaptureSettings
    progress: Progress
    power: dict[tuple[int, int], _Power] = field(default_factory=dict)
    """By position of the pair and number of the group."""
    signal: dict[str, float] = field(default_factory=dict)
    runs: int = 0

    def __post_init__(self) -> None:
        self.settings = replace(self.settings, local=True)
        graph = self.graphs[0]
        self.outputs = [o for o in graph.outputs if graph.type_of(o).elem_type in (_FLOAT, 0)]
        self.groups = _grouped(self.outputs)
        self.behind = _outputs_behind(graph, self.outputs)
        self.scale = dict.fromkeys(self.outputs, 1.0)
        self._number = {name: at for at, name in enumerate(self.outputs)}
        self.chosen = [at for at, pair in enumerate(self.pairs) if self._is_layer(pair)]
        self.capture: Capture | None = None
        self.reverse = ReverseRuns(
            graph,
            [self.pairs[at].float_tensor for at in self.chosen],
            self.outputs,
            self.settings.float_session,
            max_memory=self.settings.max_memory // 2,
            values=False,
        )
        self.probes = probes_of(self.samples, len(self.outputs))
        self.errors: dict[int, _Held | None] = {}
        self.progress.stage("sensitivity", self.samples)

    def add_sample(self, number: int, float_feeds: Feeds, quant_feeds: Feeds) -> None:
        if self.capture is None:
            self.capture = Capture(
                *self.graphs,
                self.pairs,
                (float_feeds, quant_feeds),
                self.samples,
                self.settings,
                observer=self._observe,
            )
            self._weigh(float_feeds)
        for turn, portion in enumerate(self._portions()):
            self.errors = dict.fromkeys(portion)
            self.capture.add_sample(float_feeds, quant_feeds)
            for probe in range(self.probes):
                self._probe(number, probe, float_feeds, is_first=turn == 0)
        self.errors = {}
        self.progress.advance()

    def close(self) -> None:
        if self.capture is not None:
            self.capture.close()

    def result(self) -> Predicted:
        why = self.reverse.unreached
        tensors = {at: self.pairs[at].float_tensor for at in self.chosen}
        unreached = {at: why[tensor] for at, tensor in tensors.items() if tensor in why}
        found = {}
        for at in sorted(tensors.keys() - unreached):
            of_layer = self._sensitivity(at)
            if of_layer is not None:
                found[at] = of_layer
        return Predicted(
            found, unreached, self.samples, self.runs, len(self.outputs), len(self.groups)
        )

    def _weigh(self, feeds: Feeds) -> None:
        """Outputs that share their runs are brought to one power first, that of the first sample's.

        Otherwise the error of a small output would be lost in the values of a large one.
        """
        shared = [name for group in self.groups if len(group) > 1 for name in group]
        fetcher = Fetcher(self.graphs[0], self.settings.float_session)
        for name, value in fetcher.values(shared, feeds).items():
            power = float(np.square(value, dtype=np.float64).sum())
            if 0 < power < math.inf:
                self.scale[name] = 1 / math.sqrt(power)

    def _portions(self) -> Iterator[list[int]]:
        """Layers whose errors take half of the memory allowed."""
        allowed = self.settings.max_memory / 2 / _HELD_BYTES
        portion: list[int] = []
        used = 0.0
        for at in self.chosen:
            size = float(np.prod(self._shape(self.pairs[at].float_tensor)))
            if portion and used + size > allowed:
                yield portion
                portion, used = [], 0.0
            portion.append(at)
            used += size
        yield portion

    def _observe(
        self,
        positions: range,
        _reached: Feeds,
        float_values: Mapping[int, Array],
        local_values: Mapping[int, Array],
    ) -> None:
        for at in positions:
            if at in self.errors and at in local_values:
                self.errors[at] = _Held.of(local_values[at] - float_values[at])

    def _probe(self, number: int, probe: int, feeds: Feeds, *, is_first: bool) -> None:
        """One run of the reverse pass, from one group, over the layers whose errors are held."""
        turn = (number * self.probes + probe) % len(self.groups)
        rng = np.random.default_rng([number, probe])
        signs = {
            name: np.float32(self.scale[name]) * random_signs(self._shape(name), rng)
            for name in self.groups[turn]
        }
        layers: dict[str, list[int]] = {}
        for at, error in self.errors.items():
            if error is not None:
                layers.setdefault(self.pairs[at].float_tensor, []).append(at)

        def receive(tensor: str, _: Array | None, gradient: Array) -> None:
            for at in layers[tensor]:
                power = self.power.setdefault((at, turn), _Power())
                error = self.errors[at]
                if error is not None and error.peak != 0:
                    power.add(gradient, error.value)

        shown = self.reverse.run(feeds, signs, receive, layers)
        self.runs += 1
        for name in self.groups[turn] if is_first else ():
            signal = self.scale[name] * shown[name].astype(np.float64)
            self.signal[name] = self.signal.get(name, 0.0) + float(np.square(signal).sum())

    def _sensitivity(self, at: int) -> Sensitivity | None:
        """What is known of one layer; None where no run was asked about it."""
        by_output: dict[str, float] = {}
        ratio: dict[str, tuple[float, float]] = {}
        for turn, group in enumerate(self.groups):
            if (at, turn) not in self.power:
                continue
            reached = self._reached(at, group)
            noise = self.power[at, turn].noise
            signal = sum(self.signal[name] for name in reached or group)
            for name in group:
                ratio[name] = signal, noise if name in reached else 0.0
                by_output[name] = level_db(*ratio[name])
        if not by_output:
            return None
        worst = min(by_output, key=lambda name: by_output[name])
        return Sensitivity(
            sqnr_db=by_output[worst],
            cosine=_cosine(*ratio[worst]),
            output=worst,
            per_output=by_output,
            method="first-order",
        )

    def _reached(self, at: int, group: Sequence[str]) -> list[str]:
        """Outputs of a group that a layer's tensor reaches: its noise lies there alone."""
        behind = self.behind.get(self.pairs[at].float_tensor, 0)
        return [name for name in group if behind >> self._number[name] & 1]

    def _shape(self, tensor: str) -> tuple[int, ...]:
        assert self.capture is not None
        known = self.capture.float_types.get(tensor)
        return (known.fixed_shape if known is not None else None) or ()

    def _is_layer(self, pair: Pair) -> bool:
        graph, tensor = self.graphs[0], pair.float_tensor
        return tensor in graph.producer and graph.type_of(tensor).elem_type in (_FLOAT, 0)


def _cosine(signal: float, noise: float) -> float:
    """Of a signal and itself with an error that is orthogonal to it."""
    if signal == 0:
        return math.nan
    return 1 / math.sqrt(1 + noise / signal)
