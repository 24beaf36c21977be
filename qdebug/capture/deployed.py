"""The outputs of both models as they are deployed: all optimizations, nothing tapped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.capture.once import Once
from qdebug.capture.session import Session, SessionSettings
from qdebug.capture.state import error_metrics
from qdebug.graph.model import Graph
from qdebug.graph.twin_outputs import Layout
from qdebug.metrics.moments import Moments, include, measure
from qdebug.run.model import ErrorMetrics

Array = npt.NDArray[Any]

SHARE = 8
"""One sample in so many is also run as deployed."""
LEAST = 4
"""As many samples at least, where there are that many: the first one may show nothing."""


def deployed_samples(count: int) -> set[int]:
    """Positions of the samples to run as deployed, evenly spread."""
    chosen = min(count, max(LEAST, -(-count // SHARE)))
    return {index * count // chosen for index in range(chosen)}


@dataclass(frozen=True)
class DeployedSample:
    """Both models' outputs for one sample by the float model's names, and the seconds they took.

    The quant model's are in the float model's layout.
    """

    float_values: dict[str, Any]
    quant_values: dict[str, Any]
    seconds: float


class DeployedPair:
    """The sessions of both models, opened when they are first needed.

    Args:
        graphs: float and quant graph.
        settings: how the two are run.
    """

    def __init__(
        self, graphs: tuple[Graph, Graph], settings: tuple[SessionSettings, SessionSettings]
    ) -> None:
        self.settings = settings
        self._sessions = [
            Once(partial(Session, graph.whole, graph, how.deployed))
            for graph, how in zip(graphs, settings, strict=True)
        ]

    @property
    def is_open(self) -> bool:
        """Whether both sessions are there."""
        return all(session.is_made for session in self._sessions)

    def open(self, side: int) -> Session:
        """The session of one model.

        Args:
            side: 0 for the float model, 1 for the quant model.

        Raises:
            ModelError: ONNX Runtime cannot load the model.
        """
        return self._sessions[side].get()

    def close(self) -> None:
        """Release the sessions, and the weights in them."""
        for session in self._sessions:
            session.drop()


class DeployedOutputs:
    """Runs both models as deployed and compares their outputs.

    Args:
        pair: float and quant model.
        outputs: float output name to quant output name.
        layouts: permutations from the quant model's layout to the float model's, by float output
            name, of those that differ.
    """

    def __init__(
        self,
        pair: DeployedPair,
        outputs: Mapping[str, str],
        layouts: Mapping[str, Layout] | None = None,
    ) -> None:
        self.outputs, self._layouts = dict(outputs), dict(layouts or {})
        self._pair = pair
        self._deployed: dict[str, Moments] = {}
        self._runtime: dict[str, Moments] = {}
        self._seconds: list[float] = []

    @property
    def is_ready(self) -> bool:
        """Whether a sample can be run without waiting for sessions."""
        return self._pair.is_open

    def close(self) -> None:
        """Release the sessions, and the weights in them; the statistics stay."""
        self._pair.close()

    def run(self, feeds: tuple[Mapping[str, Array], Mapping[str, Array]]) -> DeployedSample:
        """Run one sample.

        Args:
            feeds: inputs of the float and of the quant model.

        Raises:
            ModelError: ONNX Runtime cannot load or run a model.
        """
        sessions = self._pair.open(0), self._pair.open(1)
        start = time.perf_counter()
        names = list(dict.fromkeys(self.outputs.values()))
        float_values = sessions[0].run(feeds[0], list(self.outputs))
        quant_values = sessions[1].run(feeds[1], names)
        seconds = time.perf_counter() - start
        known = _arrays(quant_values)
        named = {name: known[quant_name] for name, quant_name in self.outputs.items()}
        return DeployedSample(_arrays(float_values), laid_out(named, self._layouts), seconds)

    def include(self, sample: DeployedSample, declared: Mapping[str, Array]) -> None:
        """Include one sample in the statistics.

        Args:
            sample: what it gave.
            declared: the quant model's declared outputs by float output name, float32.
        """
        self._seconds.append(sample.seconds)
        for name in self.outputs:
            f, q = _real(sample.float_values[name]), _real(sample.quant_values[name])
            if f is None or q is None:
                continue
            _accumulate(self._deployed, name, f, q)
            if name in declared:
                _accumulate(self._runtime, name, declared[name], q)

    @property
    def seconds_per_sample(self) -> float:
        """Shortest plain inference of both models on one sample, seconds."""
        return min(self._seconds, default=0.0)

    def deployed(self, output: str) -> ErrorMetrics | None:
        """Float against quant, both as deployed."""
        return error_metrics(self._deployed[output]) if output in self._deployed else None

    def runtime(self, output: str) -> ErrorMetrics | None:
        """The quant model's declared simulation against itself as deployed."""
        return error_metrics(self._runtime[output]) if output in self._runtime else None


def laid_out(values: Mapping[str, Any], layouts: Mapping[str, Layout]) -> dict[str, Any]:
    """Values in another layout, where one is given; what has not its rank is left as it is.

    Args:
        values: by name.
        layouts: permutations by the same names, as for ``numpy.transpose``.
    """
    return {
        name: np.transpose(value, layout)
        if (layout := layouts.get(name)) is not None and np.ndim(value) == len(layout)
        else value
        for name, value in values.items()
    }


def _arrays(values: Mapping[str, Any]) -> dict[str, Any]:
    """Sequences, and types that numpy lacks, are compared by nobody."""
    return {n: v if isinstance(v, np.ndarray) else None for n, v in values.items()}


def _real(value: Any) -> Array | None:
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return None
    return value.astype(np.float32, copy=False)


def _accumulate(into: dict[str, Moments], name: str, reference: Array, test: Array) -> None:
    if reference.size != test.size:
        return
    include(into, name, measure(reference.reshape(-1), test.reshape(-1)))
