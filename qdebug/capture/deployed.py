"""The outputs of both models as they are deployed: all optimizations, nothing tapped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.capture.session import Session, SessionSettings
from qdebug.capture.state import error_metrics
from qdebug.graph.model import Graph
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


class DeployedOutputs:
    """Runs both models as deployed and compares their outputs.

    Args:
        float_graph: the reference.
        quant_graph: its twin.
        settings: how the two are run (float, quant).
        outputs: float output name to quant output name.

    Raises:
        ModelError: ONNX Runtime cannot load a model.
    """

    def __init__(
        self,
        float_graph: Graph,
        quant_graph: Graph,
        settings: tuple[SessionSettings, SessionSettings],
        outputs: Mapping[str, str],
    ) -> None:
        self.outputs = dict(outputs)
        self._float = Session(float_graph.whole, float_graph, settings[0].deployed)
        self._quant = Session(quant_graph.whole, quant_graph, settings[1].deployed)
        self._deployed: dict[str, Moments] = {}
        self._runtime: dict[str, Moments] = {}
        self._seconds: list[float] = []

    def add_sample(
        self,
        feeds: tuple[Mapping[str, Array], Mapping[str, Array]],
        declared: Mapping[str, Array],
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Run one sample.

        Args:
            feeds: inputs of the float and of the quant model.
            declared: the quant model's declared outputs by float output name, float32.

        Returns:
            Both models' outputs by their own names.
        """
        start = time.perf_counter()
        names = list(dict.fromkeys(self.outputs.values()))
        float_values = self._float.run(feeds[0], list(self.outputs))
        quant_values = self._quant.run(feeds[1], names)
        self._seconds.append(time.perf_counter() - start)
        for name, quant_name in self.outputs.items():
            f, q = _real(float_values[name]), _real(quant_values[quant_name])
            if f is None or q is None:
                continue
            _accumulate(self._deployed, name, f, q)
            if name in declared:
                _accumulate(self._runtime, name, declared[name], q)
        return float_values, quant_values

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


def _real(value: Any) -> Array | None:
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return None
    return value.astype(np.float32, copy=False)


def _accumulate(into: dict[str, Moments], name: str, reference: Array, test: Array) -> None:
    if reference.size != test.size:
        return
    include(into, name, measure(reference.reshape(-1), test.reshape(-1)))
