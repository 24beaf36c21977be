"""How much of the error at the outputs each tensor and each weight makes, from a few gradients.

The loss is ``L = sum w (q - f)^2`` over the outputs. Fed back through the network, ``sqrt(w)`` with
random signs gives a gradient g at every tensor, and ``(g . e)^2`` is, in the mean over the signs,
the loss that an error e there makes to first order (Hutchinson's estimator of the diagonal).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug import interrupts
from qdebug.cure.histogram import GradientHistogram
from qdebug.cure.runs import Feeds, ReverseRuns

Array = npt.NDArray[Any]
Histograms = Mapping[str, GradientHistogram]

FOLDS = 4
"""Parts that the pictures are dealt into, for ranges that hold on several of them. By judgement."""


@dataclass(frozen=True)
class Contributions:
    """What every tensor and every weight contributes to the loss.

    Attributes:
        folds: histograms by tensor, for each part of the pictures.
        weights: loss that the changed constants of a node make, by the node's output.
        unreached: tensor, or output of a weighted node, to one sentence that says why there is
            nothing known of it.
        runs: of the reverse pass.
    """

    folds: tuple[Histograms, ...]
    weights: Mapping[str, float]
    unreached: Mapping[str, str]
    runs: int

    def at(self, tensor: str) -> GradientHistogram:
        """Histogram of a tensor over all pictures.

        Raises:
            KeyError: the tensor was not reached.
        """
        return self.tensors[tensor]

    @cached_property
    def tensors(self) -> Histograms:
        """Histograms over all pictures, by tensor."""
        names = dict.fromkeys(name for fold in self.folds for name in fold)
        return {
            name: GradientHistogram.merged([fold[name] for fold in self.folds if name in fold])
            for name in names
        }


def measure_contributions(
    runs: ReverseRuns,
    samples: Iterable[tuple[Feeds, Mapping[str, Array]]],
    *,
    probes: int = 1,
    folds: int = FOLDS,
    seed: int = 0,
    stop: Callable[[], bool] = lambda: False,
) -> Contributions:
    """Run the reverse pass of a float network on samples and sum up what it tells.

    Args:
        runs: the reverse pass, at the tensors that may be quantized.
        samples: inputs, and the loss's weight w of every element of the outputs (by output, of its
            shape, not negative; an output left out does not count).
        probes: runs for each sample, with other signs.
        folds: parts that the samples are dealt into, in turn.
        seed: of the signs.
        stop: asked before each sample; what was done until then is returned.

    Raises:
        ModelError: ONNX Runtime cannot run the reverse pass.
    """
    parts: tuple[dict[str, GradientHistogram], ...] = tuple({} for _ in range(folds))
    moved: dict[str, float] = {}
    count = 0
    for number, (feeds, weights) in enumerate(samples):
        interrupts.check()
        if stop():
            break
        into = parts[number % folds]

        def receive(tensor: str, values: Array | None, gradient: Array) -> None:
            assert values is not None
            into.setdefault(tensor, GradientHistogram()).add(values, gradient)  # noqa: B023

        for probe in range(probes):
            rng = np.random.default_rng([seed, number, probe])
            found = runs.run(feeds, _signed(weights, rng), receive)
            for node, value in found.products.items():
                moved[node] = moved.get(node, 0.0) + value * value
            count += 1
    means = {node: total / max(count, 1) for node, total in moved.items()}
    return Contributions(parts, means, runs.unreached, count)


def _signed(weights: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Square roots of the weights, each with a random sign."""
    return {
        name: np.asarray(np.sqrt(value) * random_signs(np.shape(value), rng), np.float32)
        for name, value in weights.items()
    }


def random_signs(shape: Sequence[int], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """-1 and 1, each with even chances."""
    bits = rng.integers(0, 2, tuple(shape), np.int8)
    return (2 * bits - 1).astype(np.float32)
