"""Scores: against the library, closed forms, and each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdebug.analysis.tasks.boxes import detections
from qdebug.analysis.tasks.detection import Read
from qdebug.datasets import BoxTruth, Dataset, LabelledPicture
from qdebug.datasets.masks import IGNORED
from qdebug.evaluation.intervals import draw
from qdebug.evaluation.scores import scorer_of
from qdebug.evaluation.scores.average_precision import AveragePrecision
from qdebug.evaluation.scores.classification import Best
from qdebug.evaluation.scores.classification import answer as best_classes
from qdebug.evaluation.scores.means import Means
from qdebug.evaluation.scores.segmentation import answer
from qdebug.preprocess.geometry import Geometry
from qdebug.reading.decoding import Decoding

SIDE = 200.0


def _truth(random: np.random.Generator, crowds: float) -> BoxTruth:
    count = int(random.integers(0, 8))
    low = random.uniform(0, SIDE * 0.7, (count, 2))
    xyxy = np.concatenate([low, low + random.uniform(5, SIDE * 0.3, (count, 2))], axis=1)
    classes = random.integers(0, 3, count)
    crowd = random.random(count) < crowds
    return BoxTruth(xyxy, classes, crowd, np.full(count, np.nan))


def _found(random: np.random.Generator, truth: BoxTruth) -> np.ndarray:
    """Boxes near the objects, twice some of them, and others anywhere."""
    near = np.repeat(truth.xyxy, 2, axis=0) + random.normal(0, 4, (2 * len(truth), 4))
    low = random.uniform(0, SIDE * 0.7, (6, 2))
    boxes = np.concatenate([near, np.concatenate([low, low + 30], axis=1)])
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    classes = np.concatenate([np.repeat(truth.classes, 2), random.integers(0, 3, 6)])
    scores = random.choice(np.linspace(0.1, 0.9, 30), len(boxes))  # with ties
    order = np.argsort(-scores, kind="stable")
    return np.concatenate([boxes, scores[:, None], classes[:, None]], axis=1)[order]


def _set(truths: list[BoxTruth]) -> Dataset:
    pictures = tuple(LabelledPicture(str(i), Path("x"), t) for i, t in enumerate(truths))
    return Dataset("set", "form", "detection", pictures, ("a", "b", "c"))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("crowds", [0.0, 0.3])
def test_average_precision_is_the_library_s(seed: int, crowds: float) -> None:
    random = np.random.default_rng(seed)
    truths = [_truth(random, crowds) for _ in range(12)]
    found = [_found(random, truth) for truth in truths]
    by_library = scorer_of(_set(truths)).scores(found)
    own = AveragePrecision.of(truths, found)(np.ones(12))
    assert own == pytest.approx(by_library, abs=1e-9)
    assert 0.05 < own["map50_95"] < 0.95


def test_a_resample_is_the_data_set_with_pictures_repeated() -> None:
    random = np.random.default_rng(7)
    truths = [_truth(random, 0) for _ in range(5)]
    found = [_found(random, truth) for truth in truths]
    counts = [2, 0, 1, 0, 3]
    again = [at for at, count in enumerate(counts) for _ in range(count)]
    repeated = scorer_of(_set([truths[at] for at in again])).scores([found[at] for at in again])
    weighted = AveragePrecision.of(truths, found)(np.array(counts, np.float64))
    # Between a picture and its copies the order of equal scores may add a point of the curve.
    assert weighted == pytest.approx(repeated, abs=5e-3)


def test_no_box_at_all_scores_nothing() -> None:
    truths = [_truth(np.random.default_rng(3), 0)]
    scorer = scorer_of(_set(truths))
    empty = [np.zeros((0, 6))]
    assert set(scorer.scores(empty).values()) == {0.0}
    assert set(scorer.resampled(empty)(np.ones(1)).values()) == {0.0}


def test_bootstrap_of_a_mean_has_its_standard_error() -> None:
    values = (np.arange(400) % 4 == 0).astype(np.float64)  # a share of a quarter
    draws = draw(Means({"x": values}), len(values))
    low, high = draws.interval("x")
    error = np.sqrt(0.25 * 0.75 / 400)
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    assert draws.difference(draws, "x") == (0.0, 0.0)


def test_decoding_agrees_with_the_suppression_that_compare_uses() -> None:
    random = np.random.default_rng(5)
    low = random.uniform(0, 100, (300, 2))
    corners = np.concatenate([low, low + random.uniform(5, 60, (300, 2))], axis=1)
    scores = random.random((300, 4))
    read = Read(corners, scores, True)
    decoding = Decoding(confidence=0.3, iou=0.5, most=1000, multi_label=False)
    found = decoding.boxes(read, Geometry((1000, 1000), (1000, 1000)))
    wanted = detections(corners, scores, confidence=0.3, overlap=0.5)
    assert found[:, 4] == pytest.approx(wanted.scores)
    assert np.array_equal(found[:, 5], wanted.classes)
    assert found[:, :4] == pytest.approx(wanted.xyxy)


def test_multi_label_keeps_every_class_of_a_candidate() -> None:
    read = Read(np.array([[0.0, 0, 10, 10]]), np.array([[0.9, 0.2, 0.0005]]), True)
    geometry = Geometry((20, 20), (20, 20))
    assert Decoding().boxes(read, geometry)[:, 5].tolist() == [0, 1]
    assert Decoding(multi_label=False).boxes(read, geometry)[:, 5].tolist() == [0]


def test_classification_and_its_changes() -> None:
    pictures = tuple(LabelledPicture(str(i), Path("x"), i) for i in range(4))
    scorer = scorer_of(Dataset("s", "f", "classification", pictures, tuple("abcd")), offset=1)
    right = [Best(np.array([i + 1, 0, 2])) for i in range(4)]
    wrong = [*right[:3], Best(np.array([0, 4]))]
    assert scorer.scores(right) == {"top1": 1.0, "top5": 1.0}
    assert scorer.scores(wrong) == {"top1": 0.75, "top5": 1.0}
    assert scorer.change(pictures[0], right[0], wrong[0]) is None
    change = scorer.change(pictures[3], right[3], wrong[3])
    assert change == (2.0, {"float": "d", "test": "class 0", "label": "d"})


def test_classes_that_share_the_best_score() -> None:
    """The first is taken, and what another program may take is said."""
    pictures = tuple(LabelledPicture(str(i), Path("x"), label) for i, label in enumerate([0, 2, 1]))
    scorer = scorer_of(Dataset("s", "f", "classification", pictures, ()))
    tables = [[3, 1, 1], [0, 5, 5], [0, 7, 7]]
    found = [best_classes(np.array(row, np.float32)) for row in tables]
    assert scorer.scores(found)["top1"] == pytest.approx(2 / 3)
    (note,) = scorer.notes(found)
    assert "on 2 pictures the label shares the best score" in note
    assert "top-1 is between 0.333 and 1.000" in note
    assert not scorer.notes([Best(np.array([label])) for label in (0, 2, 1)])


def test_text() -> None:
    pictures = tuple(LabelledPicture(t, Path("x"), t) for t in ("abcd", "xy"))
    scorer = scorer_of(Dataset("s", "f", "text", pictures))
    assert scorer.scores(["abcd", "xyz"]) == pytest.approx({"exact": 0.5, "norm_edit": 5 / 6})


def test_maps_are_compared_on_the_picture() -> None:
    mask = np.array([[0, 0, 1, 1], [0, 0, 1, IGNORED]])
    half = np.array([[0, 1]])  # of a picture stretched to half its width and height
    geometry = Geometry((4, 2), (2, 1), (0.5, 0, 0, 0, 0.5, 0))
    pictures = (LabelledPicture("p", Path("x"), Path("m")),)
    scorer = scorer_of(Dataset("s", "f", "segmentation", pictures))
    assert scorer.scores([answer(half, mask, geometry)]) == {"miou": 1.0, "pixel_accuracy": 1.0}
    other = scorer.scores([answer(1 - half, mask, geometry)])
    assert other == {"miou": 0.0, "pixel_accuracy": 0.0}
