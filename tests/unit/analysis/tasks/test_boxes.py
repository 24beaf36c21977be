from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from qdebug.analysis.tasks.boxes import (
    CONFIDENCE,
    Best,
    Boxes,
    detections,
    finite,
    from_centers,
    match,
    pairwise_iou,
    suppress,
)
from sample_models.build import reading


def random_boxes(rng: np.random.Generator, count: int, classes: int = 3) -> Boxes:
    centers = rng.uniform(20, 200, (count, 2))
    sizes = rng.uniform(10, 80, (count, 2))
    corners = from_centers(np.concatenate([centers, sizes], axis=1))
    scores = rng.permutation(np.linspace(0.3, 0.99, count))
    return Boxes(corners, scores, rng.integers(0, classes, count), np.arange(count))


def test_iou_of_known_boxes() -> None:
    one = np.array([[0.0, 0.0, 2.0, 2.0]])
    others = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [2, 2, 4, 4], [0, 0, 0, 0]], np.float64)
    assert np.allclose(pairwise_iou(one, others), [[1, 1 / 7, 0, 0]])
    assert pairwise_iou(np.zeros((0, 4)), others).shape == (0, 4)


def test_suppression_is_opencvs() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        boxes = random_boxes(rng, 60)
        sizes = boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]
        xywh = np.concatenate([boxes.xyxy[:, :2], sizes], axis=1)
        expected = cv2.dnn.NMSBoxesBatched(
            xywh.tolist(), boxes.scores.tolist(), boxes.classes.tolist(), 0.0, 0.45
        )
        assert sorted(suppress(boxes).scores) == sorted(boxes.scores[np.array(expected)])


def test_matching_prefers_the_largest_overlap_and_keeps_classes_apart() -> None:
    reference = Boxes(
        np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float64),
        np.array([0.9, 0.8]),
        np.array([0, 1]),
        np.arange(2),
    )
    test = Boxes(
        np.array([[0, 0, 10, 8], [0, 0, 10, 10], [50, 50, 60, 60]], np.float64),
        np.array([0.9, 0.5, 0.8]),
        np.array([0, 0, 2]),
        np.arange(3),
    )
    found = match(reference, test)
    assert found.pairs.tolist() == [[0, 1]]
    assert found.iou.tolist() == [1.0]
    assert found.lost.tolist() == [1]
    assert found.new.tolist() == [0, 2]


def test_candidates_without_a_finite_box_are_no_detections() -> None:
    corners = np.array([[0, 0, 5, 5], [np.nan, 0, 5, 5], [20, 20, 30, 30]])
    scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.2]])
    found = detections(corners, scores)
    assert found.classes.tolist() == [0]
    assert found.scores.tolist() == [0.9]


def drawn(kind: str) -> tuple[Any, Any]:
    """Class scores and objectness of YOLO's kind, float32."""
    rng = np.random.default_rng(7)
    classes: Any = rng.uniform(0, 1, (500, 9)).astype(np.float32) ** 4
    objects: Any = rng.uniform(0, 1, (500, 1)).astype(np.float32) ** 9
    if kind == "codes":  # few values: many classes of one candidate are equal
        classes, objects = np.round(classes * 8) / 8, np.round(objects * 8) / 8
    elif kind == "tiny":
        classes, objects = classes * np.float32(1e-38), objects * np.float32(1e-38)
    elif kind == "negative classes":
        classes = classes - np.float32(0.5)
    elif kind == "negative objects":
        objects = objects - np.float32(0.01)
    elif kind == "not finite":
        classes[3, 4], objects[7] = np.nan, np.inf
    return classes.astype(np.float32), objects.astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "is_direct"),
    [
        ("any", True),
        ("codes", True),
        ("tiny", True),
        ("negative classes", False),
        ("negative objects", False),
        ("not finite", False),
    ],
)
def test_the_best_class_of_a_product_needs_no_products(kind: str, is_direct: bool) -> None:
    classes, objects = drawn(kind)
    found = Best.of_product(classes, objects)
    assert (found is not None) == is_direct
    if found is not None:
        known = Best.of(np.multiply(classes, objects, dtype=np.float64))
        some = known.scores >= CONFIDENCE
        assert some.any() or kind == "tiny"
        np.testing.assert_array_equal(found.scores, known.scores)
        np.testing.assert_array_equal(found.classes[some], known.classes[some])
        assert (found.low, found.high, found.finite) == (known.low, known.high, known.finite)


def test_scores_that_are_not_finite_are_said_to_be() -> None:
    scores = np.array([[0.1, np.nan], [0.3, 0.2], [-np.inf, 0.4]])
    best = Best.of(scores)
    assert not best.finite
    assert best.scores.tolist() == [0.1, 0.3, 0.4]


def test_candidates_without_classes_score_nothing() -> None:
    assert Best.of(np.zeros((3, 0))).scores.tolist() == [0, 0, 0]


def test_detections_are_those_of_the_sample_models_own_reader() -> None:
    """The reader suppresses across classes, so one class is read."""
    rng = np.random.default_rng(0)
    output = np.concatenate([rng.uniform(20, 300, (1, 4, 500)), rng.random((1, 1, 500)) ** 4], 1)
    output = output.astype(np.float32)
    theirs = reading.detections(output)
    table = output[0].T
    ours = detections(from_centers(table[:, :4]), table[:, 4:], overlap=reading.OVERLAP)
    assert np.allclose(ours.scores, theirs.scores)
    assert np.allclose(ours.xyxy, theirs.boxes, atol=1e-3)


def test_finite_values_are_not_copied() -> None:
    values = np.array([[0.5, -2.0], [3.0, 1e30]])
    assert finite(values) is values
    for bad in (np.nan, np.inf, -np.inf):
        values[1, 0] = bad
        np.testing.assert_array_equal(finite(values), np.nan_to_num(values))
    assert finite(np.zeros((0, 3))).shape == (0, 3)
