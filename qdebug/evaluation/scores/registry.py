"""The scorer of a task."""

from __future__ import annotations

from collections.abc import Callable

from qdebug.datasets import Dataset
from qdebug.evaluation.scores.classification import ClassificationScorer
from qdebug.evaluation.scores.detection import DetectionScorer
from qdebug.evaluation.scores.scorer import Scorer
from qdebug.evaluation.scores.segmentation import SegmentationScorer
from qdebug.evaluation.scores.text import TextScorer

_SCORERS: dict[str, Callable[[Dataset, int], Scorer]] = {
    "detection": lambda dataset, _: DetectionScorer(dataset),
    "classification": ClassificationScorer,
    "text": lambda dataset, _: TextScorer(dataset),
    "segmentation": lambda dataset, _: SegmentationScorer(dataset),
}


def scorer_of(dataset: Dataset, offset: int = 0) -> Scorer:
    """What scores models on a data set.

    Args:
        dataset: its task decides.
        offset: class of the model that the data set's class 0 is.
    """
    return _SCORERS[dataset.task](dataset, offset)
