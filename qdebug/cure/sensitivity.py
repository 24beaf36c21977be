"""Sensitivity of every layer at once, to first order.

What quantizing one layer alone does to the outputs is known after one run for each layer
(``analysis.sensitivity``). Here it is predicted from two things that few runs give for all layers
together: the error e that each layer makes by itself, fed with float inputs (the local pass), and
the gradient g of the outputs there; what e makes at the output follows from these two
(``cure.noise_power``). Both come from one walk over each sample: the reverse pass hands over the
float values of a stretch of the network and the gradients there, the quant layers of that stretch
are fed with the values, and nothing is held beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug import interrupts
from qdebug.capture.engine import CaptureSettings
from qdebug.capture.fetch import Fetcher
from qdebug.capture.session import release_memory
from qdebug.capture.shapes import types_for
from qdebug.cure.contributions import random_signs
from qdebug.cure.local_errors import LocalErrors
from qdebug.cure.noise_power import Products, Sums
from qdebug.cure.runs import FEW, Reached, ReverseRuns
from qdebug.graph.channels import channel_axes
from qdebug.graph.model import Graph, TensorType
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
"""Runs of the reverse pass for a sample, at most, where each output has one of them: a run costs 3
to 7 plain inferences, and what the layers make by themselves 3 to 4 more."""
ENOUGH = 4
"""Runs of the reverse pass for each output that are enough: with twice or four times as many the
order hardly changes, with half as many it gets worse (docs/benchmarks.md)."""
GROUPS = SAMPLES * PROBES
"""Outputs that have runs of their own, at most: no network costs more of them than the samples of a
small one do. Of more outputs, neighbours share their runs."""
HELD = 128 << 20
"""Bytes of tensors held at once, where more is allowed: as fast as twice as many, and 50 to 150 MiB
less are taken (YOLOv5n, text detector)."""
_FLOAT = 1  # of onnx.TensorProto


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
    taken = _taken(samples)
    work = _Work(graphs, pairs, len(taken), settings, progress or Silent())
    try:
        for number, sample in enumerate(taken):
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


@dataclass
class _Work:
    graphs: tuple[Graph, Graph]
    pairs: Sequence[Pair]
    samples: int
    settings: CaptureSettings
    progress: Progress
    power: dict[tuple[int, int], Sums] = field(default_factory=dict)
    """By position of the pair and number of the group."""
    signal: dict[str, float] = field(default_factory=dict)
    runs: int = 0

    def __post_init__(self) -> None:
        graph = self.graphs[0]
        self.outputs = [o for o in graph.outputs if graph.type_of(o).elem_type in (_FLOAT, 0)]
        self.groups = _grouped(self.outputs)
        self.behind = _outputs_behind(graph, self.outputs)
        self.scale = dict.fromkeys(self.outputs, 1.0)
        self._number = {name: at for at, name in enumerate(self.outputs)}
        self.chosen = [at for at, pair in enumerate(self.pairs) if self._is_layer(pair)]
        self.probes = probes_of(self.samples, len(self.outputs))
        sessions = self.settings.float_session, self.settings.quant_session
        self.local = LocalErrors(self.graphs, self.pairs, self.chosen, sessions, self.samples)
        self.reverse = ReverseRuns(
            graph,
            [self.pairs[at].float_tensor for at in self.chosen],
            self.outputs,
            sessions[0],
            max_memory=min(self.settings.max_memory, HELD),
            beside=self.local.reads,
            few=self.samples * self.probes <= FEW,
        )
        self.products, self.axes = Products(), dict[str, int]()
        self.progress.stage("sensitivity", self.samples)

    def add_sample(self, number: int, float_feeds: Feeds, quant_feeds: Feeds) -> None:
        self.local.adapt_to(float_feeds, quant_feeds)
        if number == 0:
            self._weigh(float_feeds)
            self.axes = channel_axes(self.graphs[0], self._types(float_feeds))
        turns = [(number * self.probes + p) % len(self.groups) for p in range(self.probes)]
        errors: dict[int, Array] = {}

        def visit(reached: Reached) -> None:
            nonlocal errors
            if reached.probe == 0:
                errors = {}  # what was held goes before more is made
                errors = self.local.errors(reached.made, reached.values, quant_feeds)
                self._add_signal(turns, reached.shown)
            for at, error in errors.items():
                gradient = reached.gradients.get(self.pairs[at].float_tensor)
                if gradient is not None:
                    axis = self.axes.get(self.pairs[at].float_tensor)
                    power = self.power.setdefault((at, turns[reached.probe]), Sums())
                    power.add(self.products.sums(gradient, error, axis))

        cotangents = [
            self._signs(turn, np.random.default_rng([number, probe]), float_feeds)
            for probe, turn in enumerate(turns)
        ]
        self.reverse.walk(float_feeds, cotangents, visit)
        self.runs += len(turns)
        self.progress.advance()

    def close(self) -> None:
        self.reverse.close()
        self.local.close()
        release_memory()

    def _signs(self, turn: int, rng: np.random.Generator, feeds: Feeds) -> dict[str, Array]:
        types = self._types(feeds)
        return {
            name: np.float32(self.scale[name]) * random_signs(types[name].fixed_shape or (), rng)
            for name in self.groups[turn]
        }

    def _types(self, feeds: Feeds) -> dict[str, TensorType]:
        return types_for(self.graphs[0], feeds, self.settings.float_session)

    def _add_signal(self, turns: Sequence[int], shown: Mapping[str, Array]) -> None:
        """The power of outputs, once for each run that asks about them."""
        for turn in turns:
            for name in [n for n in self.groups[turn] if n in shown]:
                signal = self.scale[name] * shown[name].astype(np.float64)
                self.signal[name] = self.signal.get(name, 0.0) + float(np.square(signal).sum())

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
        for name, value in fetcher.each(shared, feeds):
            power = float(np.square(value, dtype=np.float64).sum())
            if 0 < power < math.inf:
                self.scale[name] = 1 / math.sqrt(power)

    def _sensitivity(self, at: int) -> Sensitivity | None:
        """What is known of one layer; None where no run was asked about it."""
        by_output: dict[str, float] = {}
        ratio: dict[str, tuple[float, float]] = {}
        for turn, group in enumerate(self.groups):
            if (at, turn) not in self.power:
                continue
            reached = self._reached(at, group)
            noise = self.power[at, turn].noise
            signal = sum(self.signal.get(name, 0.0) for name in reached or group)
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

    def _is_layer(self, pair: Pair) -> bool:
        graph, tensor = self.graphs[0], pair.float_tensor
        return tensor in graph.producer and graph.type_of(tensor).elem_type in (_FLOAT, 0)


def _cosine(signal: float, noise: float) -> float:
    """Of a signal and itself with an error that is orthogonal to it."""
    if signal == 0:
        return math.nan
    return 1 / math.sqrt(1 + noise / signal)
