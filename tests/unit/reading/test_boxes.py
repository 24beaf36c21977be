"""Boxes whose reading is told, and boxes that several readings explain."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from qdebug.analysis.tasks.head import Cells, Head, Parts
from qdebug.preprocess.geometry import Geometry
from qdebug.reading.boxes import read_boxes
from qdebug.reading.candidates import Codes, Seen, see
from qdebug.reading.fit import Answer

Array = npt.NDArray[Any]
PADDED = Geometry((56, 56), (64, 64), (1, 0, 4, 0, 1, 4))
"""Four pixels of padding on each side: as much as half a cell of stride 8."""


def seen(corners: Array, scores: Array, geometry: Geometry, codes: Codes | None = None) -> Seen:
    cells = Cells(np.full(len(corners), 8.0))
    head = Head(
        "a head", lambda o: Parts(o["boxes"], o["scores"], cells=cells), ("boxes", "scores")
    )
    return see(head, {"boxes": corners, "scores": scores}, geometry, codes or {})


def answer(corners: Array, scores: Array) -> Answer:
    return Answer(np.asarray(corners, np.float64), scores.max(axis=1), scores.argmax(axis=1))


def crowd(count: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(3)
    corner = rng.uniform(6, 36, (count, 2))
    corners = np.concatenate([corner, corner + rng.uniform(6, 20, (count, 2))], axis=1)
    scores = np.zeros((count, 3))
    scores[np.arange(count), np.arange(count) % 3] = rng.uniform(0.4, 0.95, count)
    return corners, scores


def test_half_a_cell_or_the_padding_of_as_much_are_not_told_apart() -> None:
    corners, scores = crowd(1)
    held = seen(corners, scores, PADDED)
    info, _ = read_boxes({"quant": [held]}, [answer(corners, scores)], "b", "boxes")
    assert info.state == "not_identifiable"
    told = {name for m in info.mistakes for name in m.names}
    assert {"half-cell-added", "not-undone"} <= told


def test_another_picture_tells_them_apart() -> None:
    corners, scores = crowd(6)
    other = Geometry((128, 96), (64, 64), (0.5, 0, 0, 0, 0.5, 8))
    held = [seen(corners, scores, PADDED), seen(corners, scores, other)]
    boxes = [answer(corners, scores), answer(corners, scores)]
    info, _ = read_boxes({"quant": held}, boxes, "b", "boxes")
    assert info.state == "explained"
    assert [m.names for m in info.mistakes] == [("not-undone",)]


def test_right_boxes_are_right_and_strange_ones_unexplained() -> None:
    corners, scores = crowd(8)
    held = seen(corners, scores, PADDED)
    right = answer(PADDED.to_source(corners), scores)
    info, _ = read_boxes({"quant": [held]}, [right], "b", "boxes")
    assert (info.state, info.agreeing, info.mistakes) == ("same", 8, ())
    rng = np.random.default_rng(5)
    strange = Answer(rng.uniform(0, 900, (8, 4)), rng.uniform(0, 1, 8), np.zeros(8, np.int64))
    info, _ = read_boxes({"quant": [held]}, [strange], "b", "boxes")
    assert (info.state, info.explained) == ("unexplained", 0)


@pytest.mark.parametrize("assumed", [False, True])
def test_anchors_of_another_model(assumed: bool) -> None:
    """The tables are known; a right board is not failed where qdebug only assumes the anchors that
    it makes sizes with."""
    own = [(8, 10, 13), (16, 62, 45), (32, 116, 90), (32, 373, 326)] * 3
    used = [(12, 16), (76, 55), (142, 110), (459, 401)] * 3
    rng = np.random.default_rng(2)
    centers, factor = rng.uniform(250, 390, (12, 2)), rng.uniform(0.6, 1.1, (12, 1))
    sizes = factor * np.array([o[1:] for o in own], np.float64)
    others = factor * np.array(used, np.float64)
    scores = np.eye(12) * rng.uniform(0.4, 0.95, 12)
    cells = Cells(
        np.array([o[0] for o in own], np.float64), np.array([o[1:] for o in own], np.float64),
        assumed=assumed,
    )  # fmt: skip
    head = Head("v5", lambda o: Parts(o["boxes"], o["scores"], cells=cells), ("boxes", "scores"))
    corners = np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)
    board = np.concatenate([centers - others / 2, centers + others / 2], axis=1)
    plain = Geometry((640, 640), (640, 640), (1, 0, 0, 0, 1, 0))
    held = see(head, {"boxes": corners, "scores": scores}, plain, {})
    info, _ = read_boxes({"quant": [held]}, [answer(board, scores)], "b", "boxes")
    assert [m.names for m in info.mistakes] == [("anchors-yolov4",)]
    assert info.mistakes[0].remark == assumed
    assert info.state == ("same" if assumed else "explained")
    right, _ = read_boxes({"quant": [held]}, [answer(corners, scores)], "b", "boxes")
    assert (right.state, right.mistakes) == ("same", ())


def test_codes_that_are_decoded_as_values() -> None:
    corners, scores = crowd(6)
    known = {"boxes": (0.5, -100), "scores": (1 / 256, -128)}
    held = seen(corners, scores, PADDED, known)
    codes = np.rint(corners / 0.5) - 100, np.rint(scores * 256) - 128
    board = answer(PADDED.to_source(codes[0], clip=False), codes[1])
    info, _ = read_boxes({"quant": [held]}, [board], "b", "boxes")
    assert [m.slug for m in info.mistakes] == ["reading-codes"]
    assert (info.agreeing, info.explained) == (0, 6)


def test_the_nearest_tensors_are_chosen() -> None:
    corners, scores = crowd(6)
    moved = seen(corners + 3, scores, PADDED)
    exact = seen(corners, scores, PADDED)
    right = answer(PADDED.to_source(corners), scores)
    info, _ = read_boxes({"quant": [moved], "float": [exact]}, [right], "b", "boxes")
    assert info.basis == "float"
    assert info.state == "same"
