"""What quantizing each layer alone does to the outputs: predicted, or run layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from qdebug.analysis.journal import Journal
from qdebug.analysis.sensitivity import measure_sensitivity, with_shares
from qdebug.capture.engine import CaptureSettings
from qdebug.cure.sensitivity import Predicted, predict_sensitivity
from qdebug.errors import ModelError
from qdebug.graph.model import Graph
from qdebug.graph.pairs import Pair
from qdebug.progress import Progress
from qdebug.run.model import Sensitivity

Feeds = Mapping[str, npt.NDArray[Any]]
Samples = Sequence[Callable[[], tuple[Feeds, Feeds]]]


def layer_sensitivity(
    graphs: tuple[Graph, Graph],
    pairs: Sequence[Pair],
    samples: Samples,
    settings: CaptureSettings,
    *,
    exact: bool,
    journal: Journal,
    progress: Progress,
) -> tuple[dict[int, Sensitivity], list[str]]:
    """Sensitivity of every layer, by position of its pair, and what is to be said about it.

    Args:
        graphs: float and quant graph.
        pairs: in execution order of the float graph.
        samples: each gives the inputs of the float and the quant graph.
        settings: sessions and threads.
        exact: run every layer alone. Otherwise only those that the reverse pass does not reach.
        journal: what an interrupted measurement has done already.
        progress: told what is done.

    Raises:
        ModelError: a run failed.
    """

    def measure(only: Collection[int] | None) -> dict[int, Sensitivity]:
        feeds = (sample() for sample in samples)
        more: dict[str, Any] = {"journal": journal, "progress": progress, "only": only}
        return measure_sensitivity(graphs, pairs, feeds, settings, count=len(samples), **more)

    if exact:
        return with_shares(measure(None)), []
    try:
        predicted = predict_sensitivity(graphs, pairs, samples, settings, progress)
    except ModelError as error:
        why = f"sensitivity: every layer was run alone, for the reverse pass fails: {error.message}"
        return with_shares(measure(None)), [why]
    found = dict(predicted.layers)
    if predicted.unreached:
        found.update(measure(predicted.unreached))
    return with_shares(found), _notes(predicted, len(samples), graphs[0], pairs)


def _notes(predicted: Predicted, samples: int, graph: Graph, pairs: Sequence[Pair]) -> list[str]:
    of = f"{predicted.samples} of " if predicted.samples < samples else ""
    notes = [
        f"sensitivity: predicted to first order from {predicted.runs} runs of the reverse pass on "
        f"{of}{samples} samples; --sensitivity exact runs every layer alone"
    ]
    if predicted.groups < predicted.outputs:
        notes.append(
            f"sensitivity: {predicted.outputs} outputs were asked about in {predicted.groups} "
            "groups; what a layer does to those of a group that it reaches is one figure for them "
            "together, each counted alike"
        )
    reasons: dict[str, list[str]] = {}
    for at, reason in predicted.unreached.items():
        maker = graph.producer.get(pairs[at].float_tensor)
        reasons.setdefault(reason, []).append(maker.label if maker else pairs[at].float_tensor)
    for reason, names in reasons.items():
        shown = ", ".join(names[:_NAMES]) + (", ..." if len(names) > _NAMES else "")
        notes.append(f"sensitivity: {len(names)} layers were run alone ({shown}): {reason}")
    return notes


_NAMES = 3
"""Layers that a note names."""
