"""What survives a mirror, or a small move, of an answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qdebug.analysis.tasks.detection import Read
from qdebug.analysis.tasks.stability import changed, surviving
from qdebug.analysis.tasks.task import Task

WIDTH = 100


def task(kind: str) -> Task:
    return Task(kind, "", None, None, None, None, "", read=lambda outputs: outputs["y"])  # type: ignore[arg-type]


def boxes(*found: tuple[float, float, float]) -> Read:
    """Squares of 20 pixels: their left side, top and score."""
    corners = np.array([[x, y, x + 20, y + 20] for x, y, _ in found], np.float64).reshape(-1, 4)
    return Read(corners, np.array([[s] for *_, s in found]).reshape(-1, 1), suppress=True)


def left_of(kind: str, first: Any, second: Any, width: int = WIDTH) -> float:
    return surviving(task(kind), {"y": first}, {"y": second}, width)


def channels_first(picture: Any) -> Any:
    return picture.transpose(0, 3, 1, 2)


def test_boxes_survive_where_the_mirror_shows_them() -> None:
    first = boxes((10, 0, 0.9), (60, 50, 0.8))
    mirrored = boxes((70, 0, 0.7), (20, 50, 0.9))
    assert left_of("detection", first, mirrored) == pytest.approx(0.7 + 0.8)
    assert left_of("detection", first, first) == 0.0  # at their old places: all are lost
    assert left_of("detection", boxes(), boxes()) == 0.0


def test_what_is_lost_takes_half_of_what_is_kept_away() -> None:
    first = boxes((10, 0, 0.8), (60, 50, 0.8))
    assert left_of("detection", first, boxes((70, 0, 0.8))) == pytest.approx(0.8 - 0.4)


def test_boxes_of_noise_survive_nothing() -> None:
    rng = np.random.default_rng(0)

    def noise() -> Read:
        places = rng.uniform(0, 600, (200, 2))
        return boxes(*((float(x), float(y), 0.95) for x, y in places))

    assert left_of("detection", noise(), noise(), 620) == 0.0
    assert left_of("detection", boxes((10, 0, 0.8)), noise()) == 0.0


def test_a_class_counts_by_its_probability_and_by_what_stays() -> None:
    sure, other = np.array([0.9, 0.1]), np.array([0.1, 0.9])
    assert left_of("classification", sure, sure) == pytest.approx(0.9)
    assert left_of("classification", sure, other) == pytest.approx(0.9 * 0.2)
    logits = np.log([0.9, 0.1])
    assert left_of("classification", logits, sure) == pytest.approx(0.9)


def test_characters_that_are_read_again() -> None:
    assert left_of("text", "qdebug", "qdebug") == 6
    assert left_of("text", "qdebug", "debug") == pytest.approx(5 - 0.5)
    assert left_of("text", "abc", "xyz") == 0.0
    assert left_of("text", "", "") == 0.0


def test_areas_count_and_the_ground_does_not() -> None:
    first = np.zeros((10, 10), np.int64)
    first[2:6, 1:4] = 1
    assert left_of("segmentation", first, first[:, ::-1]) == pytest.approx(0.12)
    assert left_of("segmentation", first, first) == 0.0
    assert left_of("segmentation", np.zeros((10, 10), int), np.zeros((10, 10), int)) == 0.0


def test_other_tasks_tell_nothing() -> None:
    assert left_of("embedding", np.ones(4), np.ones(4)) == 0.0
    assert surviving(replace(task("text"), read=None), {}, {}, WIDTH) == 0.0


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_picture_is_mirrored_and_a_line_of_text_is_moved(channels_last: bool) -> None:
    picture = np.arange(2 * 3 * 160).reshape(1, 2, 3, 160)
    fed = picture.transpose(0, 2, 3, 1) if channels_last else picture
    mirrored, moved = (
        changed(task(kind), fed, channels_last=channels_last) for kind in ("detection", "text")
    )
    if channels_last:
        mirrored, moved = channels_first(mirrored), channels_first(moved)
    assert np.array_equal(mirrored, picture[..., ::-1])
    assert np.array_equal(moved[..., 2:], picture[..., :-2])
    assert np.array_equal(moved[..., :2], picture[..., :2])
