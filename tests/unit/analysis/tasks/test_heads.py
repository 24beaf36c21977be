"""Every form of a head is written by an encoder of its own, and read back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from qdebug.analysis.tasks.boxes import detections
from qdebug.analysis.tasks.heads import recognize_head
from qdebug.analysis.tasks.task import OutputFacts

Array = npt.NDArray[Any]
SIZE = (128, 96)
STRIDES = (8, 16, 32)
CLASSES = 5
TRUTH = np.array([[40.0, 30.0, 24.0, 36.0], [100.0, 70.0, 30.0, 20.0]])
"""Centre, width and height in pixels."""
LABELS = (1, 4)
CELLS = [((SIZE[0] // s), (SIZE[1] // s), s) for s in STRIDES]


def logit(p: Array | float) -> Array:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(p / (1 - p)))


def responsible(level: int, box: Array) -> tuple[int, int]:
    """Column and row of the cell a box's centre lies in."""
    return int(box[0] // STRIDES[level]), int(box[1] // STRIDES[level])


def flat(level: int, column: int, row: int) -> int:
    before = sum(w * h for w, h, _ in CELLS[:level])
    return before + row * CELLS[level][0] + column


def places() -> list[tuple[int, int, int, int]]:
    """Level, column, row and flat index of the cell of each true box."""
    found = []
    for box in TRUTH:
        column, row = responsible(1, box)
        found.append((1, column, row, flat(1, column, row)))
    return found


def v5() -> dict[str, Array]:
    count = sum(w * h for w, h, _ in CELLS)
    table = np.full((3 * count, 5 + CLASSES), 0.001)
    table[:, :4] = 20
    for (_, _, _, at), box, label in zip(places(), TRUTH, LABELS, strict=True):
        table[3 * at, :5] = [*box, 0.95]
        table[3 * at, 5 + label] = 0.9
    return {"output": table[None]}


def v5_normalized() -> dict[str, Array]:
    outputs = v5()
    outputs["output"][..., :4] /= [*SIZE, *SIZE]
    return outputs


def v8() -> dict[str, Array]:
    count = sum(w * h for w, h, _ in CELLS)
    table = np.full((count, 4 + CLASSES), 0.001)
    table[:, :4] = 20
    for (_, _, _, at), box, label in zip(places(), TRUTH, LABELS, strict=True):
        table[at, :4] = box
        table[at, 4 + label] = 0.9
    return {"output0": table.T[None]}


def v8_logits() -> dict[str, Array]:
    outputs = v8()
    outputs["output0"][:, 4:] = logit(outputs["output0"][:, 4:])
    return outputs


def v8_segmentation() -> dict[str, Array]:
    table = v8()["output0"]
    masks = np.random.default_rng(0).normal(0, 1, (1, 32, table.shape[2]))
    return {
        "output0": np.concatenate([table, masks], axis=1),
        "output1": np.zeros((1, 32, SIZE[1] // 4, SIZE[0] // 4)),
    }


def yolox() -> dict[str, Array]:
    count = sum(w * h for w, h, _ in CELLS)
    table = np.full((count, 5 + CLASSES), 0.001)
    table[:, :4] = 0.3
    for (level, column, row, at), box, label in zip(places(), TRUTH, LABELS, strict=True):
        stride = STRIDES[level]
        table[at, :2] = box[:2] / stride - (column, row)
        table[at, 2:4] = np.log(box[2:] / stride)
        table[at, 4], table[at, 5 + label] = 0.95, 0.9
    return {"output": table[None]}


def yolox_decoded() -> dict[str, Array]:
    count = sum(w * h for w, h, _ in CELLS)
    table = np.full((count, 5 + CLASSES), 0.001)
    table[:, :4] = 20
    for (_, _, _, at), box, label in zip(places(), TRUTH, LABELS, strict=True):
        table[at, :5] = [*box, 0.95]
        table[at, 5 + label] = 0.9
    return {"output": table[None]}


def ssd() -> dict[str, Array]:
    count = 200
    boxes = np.full((1, count, 4), 0.1)
    scores = np.full((1, count, 1 + CLASSES), 0.001)
    scores[..., 0] = 1 - 0.001 * CLASSES
    for at, (box, label) in enumerate(zip(TRUTH, LABELS, strict=True)):
        corners = [*(box[:2] - box[2:] / 2), *(box[:2] + box[2:] / 2)]
        boxes[0, at] = np.array(corners) / [*SIZE, *SIZE]
        scores[0, at] = 0.02
        scores[0, at, 1 + label] = 1 - 0.02 * CLASSES
    return {"scores": scores, "boxes": boxes}


def end_to_end() -> dict[str, Array]:
    rows = np.zeros((1, 50, 6))
    for at, (box, label) in enumerate(zip(TRUTH, LABELS, strict=True)):
        corners = [*(box[:2] - box[2:] / 2), *(box[:2] + box[2:] / 2)]
        rows[0, at] = [*corners, 0.9, label]
    return {"output": rows}


def raw_v5(five: bool = False) -> dict[str, Array]:
    anchor = np.array([30.0, 61.0])
    outputs = {}
    for level, (width, height, stride) in enumerate(CELLS):
        value = np.full((1, 3, height, width, 5 + CLASSES), -9.0)
        value[..., :5] = -3.0
        value[..., :4] = 0.0
        for (at, column, row, _), box, label in zip(places(), TRUTH, LABELS, strict=True):
            if at == level:
                value[0, 0, row, column, :2] = logit((box[:2] / stride - (column, row) + 0.5) / 2)
                value[0, 0, row, column, 2:4] = logit(np.sqrt(box[2:] / anchor) / 2)
                value[0, 0, row, column, 4] = 3.0
                value[0, 0, row, column, 5 + label] = 3.0
        if not five:
            value = value.transpose(0, 1, 4, 2, 3).reshape(1, -1, height, width)
        outputs[f"p{level}"] = value
    return outputs


def raw_v8(apart: bool = False) -> dict[str, Array]:
    outputs: dict[str, Array] = {}
    for level, (width, height, stride) in enumerate(CELLS):
        bins = np.zeros((4, 16, height, width))
        classes = np.full((CLASSES, height, width), -9.0)
        for (at, column, row, _), box, label in zip(places(), TRUTH, LABELS, strict=True):
            if at == level:
                middle = (np.array([column, row]) + 0.5) * stride
                low, high = box[:2] - box[2:] / 2, box[:2] + box[2:] / 2
                for side, distance in enumerate([*(middle - low), *(high - middle)]):
                    share, whole = np.modf(distance / stride)
                    bins[side, :, row, column] = -50
                    bins[side, int(whole), row, column] = np.log(max(1 - share, 1e-9))
                    bins[side, int(whole) + 1, row, column] = np.log(max(share, 1e-9))
                classes[label, row, column] = 3.0
        boxes = bins.reshape(1, 64, height, width)
        if apart:
            outputs |= {f"cls{level}": classes[None], f"box{level}": boxes}
        else:
            outputs[f"p{level}"] = np.concatenate([boxes, classes[None]], axis=1)
    return outputs


def cell_table(channels: int, value: float = 0.0) -> list[Array]:
    """One table ``[cells, channels]`` a level."""
    return [np.full((width * height, channels), value) for width, height, _ in CELLS]


def at_level(level: int, column: int, row: int) -> int:
    return row * CELLS[level][0] + column


def raw_v8_six_with_sum() -> dict[str, Array]:
    """RKNN's nine outputs: boxes, classes and the classes' sum."""
    outputs = raw_v8(apart=True)
    for level in range(len(CELLS)):
        classes = 1 / (1 + np.exp(-outputs[f"cls{level}"]))
        outputs[f"cls{level}"] = classes
        outputs[f"sum{level}"] = classes.sum(axis=1, keepdims=True).clip(0, 1)
    return outputs


def raw_v8_channels_last() -> dict[str, Array]:
    """Horizon's six outputs."""
    return {name: v.transpose(0, 2, 3, 1) for name, v in raw_v8(apart=True).items()}


def nanodet(joined: bool = False) -> dict[str, Array]:
    """Distances from the middle of the cell apart, from its corner in NanoDet-Plus."""
    scores, bins = cell_table(CLASSES, 0.01), cell_table(32)
    for (level, column, row, _), box, label in zip(places(), TRUTH, LABELS, strict=True):
        stride, at = STRIDES[level], at_level(level, column, row)
        middle = (np.array([column, row]) + (0.0 if joined else 0.5)) * stride
        low, high = box[:2] - box[2:] / 2, box[:2] + box[2:] / 2
        table = np.full((4, 8), -50.0)
        for side, distance in enumerate([*(middle - low), *(high - middle)]):
            share, whole = np.modf(distance / stride)
            table[side, int(whole) : int(whole) + 2] = np.log(np.maximum([1 - share, share], 1e-9))
        bins[level][at], scores[level][at, label] = table.reshape(-1), 0.9
    if joined:
        return {"output": np.concatenate([np.concatenate(scores), np.concatenate(bins)], 1)[None]}
    outputs = {f"cls_pred_stride_{s}": v[None] for s, v in zip(STRIDES, scores, strict=True)}
    return outputs | {f"dis_pred_stride_{s}": v[None] for s, v in zip(STRIDES, bins, strict=True)}


def raw_yolox(apart: bool = False) -> dict[str, Array]:
    outputs: dict[str, Array] = {}
    flat_levels = np.split(yolox()["output"][0], np.cumsum([w * h for w, h, _ in CELLS])[:-1])
    for level, ((width, height, _), table) in enumerate(zip(CELLS, flat_levels, strict=True)):
        value = table.T.reshape(1, -1, height, width).copy()
        value[:, :2, 0, 0] = -1.0  # offsets are no probabilities
        if apart:
            parts = np.split(value, [4, 5], axis=1)
            outputs |= {f"{n}{level}": v for n, v in zip(("reg", "obj", "cls"), parts, strict=True)}
        else:
            outputs[f"p{level}"] = value
    return outputs


def rows_of_seven() -> dict[str, Array]:
    rows = end_to_end()["output"][0, : len(TRUTH)]
    batch = np.zeros((len(rows), 1))
    return {"output": np.concatenate([batch, rows[:, :4], rows[:, 5:], rows[:, 4:5]], axis=1)}


def split_rows() -> dict[str, Array]:
    rows = end_to_end()["output"]
    return {
        "num_dets": np.array([[len(TRUTH)]]),
        "det_boxes": rows[..., :4],
        "det_scores": rows[..., 4],
        "det_classes": rows[..., 5],
    }


def caffe_rows() -> dict[str, Array]:
    rows = end_to_end()["output"][0, : len(TRUTH)]
    unit = rows[:, :4] / [*SIZE, *SIZE]
    found = np.concatenate([0 * rows[:, :1], rows[:, 5:], rows[:, 4:5], unit], axis=1)
    return {"detection_out": found[None, None]}


def detr(sigmoid_scores: bool = False) -> dict[str, Array]:
    count = 100
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0.4, 0.6, (1, count, 4))
    boxes[..., 2:] = 0.2
    logits = np.full((1, count, CLASSES + (not sigmoid_scores)), -5.0)
    if not sigmoid_scores:
        logits[..., -1] = 4.0
    for at, (box, label) in enumerate(zip(TRUTH, LABELS, strict=True)):
        boxes[0, at] = box / [*SIZE, *SIZE]
        logits[0, at] = -5.0
        logits[0, at, label] = 4.0
    return {"logits": logits, "pred_boxes": boxes}


def ssd_offsets(strides: tuple[int, ...], sizes: tuple[tuple[int, ...], ...]) -> dict[str, Array]:
    """Offsets from square priors, written cell by cell as in the papers' code."""
    priors = [
        ((column + 0.5) * stride, (row + 0.5) * stride, float(side))
        for stride, sides in zip(strides, sizes, strict=True)
        for row in range(-(-SIZE[1] // stride))
        for column in range(-(-SIZE[0] // stride))
        for side in sides
    ]
    table = np.random.default_rng(0).normal(0, 1, (1, len(priors), 4))
    logits = np.tile([3.0, -3.0], (1, len(priors), 1))
    for box in TRUTH:
        near = [abs(x - box[0]) + abs(y - box[1]) + abs(s - box[2:].mean()) for x, y, s in priors]
        at = int(np.argmin(near))
        x, y, side = priors[at]
        table[0, at, :2] = (box[:2] - (x, y)) / side / 0.1
        table[0, at, 2:] = np.log(box[2:] / side) / 0.2
        logits[0, at] = [-3.0, 3.0]
    return {"conf": logits, "loc": table}


def blaze() -> dict[str, Array]:
    anchors = [
        ((column + 0.5) * stride, (row + 0.5) * stride)
        for stride, count in ((8, 2), (16, 6))
        for row in range(SIZE[1] // stride)
        for column in range(SIZE[0] // stride)
        for _ in range(count)
    ]
    table = np.random.default_rng(0).normal(0, 10, (1, len(anchors), 16))
    scores = np.full((1, len(anchors), 1), -8.0)
    for box in TRUTH:
        at = int(np.argmin([abs(x - box[0]) + abs(y - box[1]) for x, y in anchors]))
        table[0, at, :4] = [*(box[:2] - anchors[at]), *box[2:]]
        scores[0, at] = 3.0
    return {"regressors": table, "classificators": scores}


def yunet(points: bool = True) -> dict[str, Array]:
    outputs: dict[str, Array] = {}
    for level, stride in enumerate(STRIDES):
        cells = CELLS[level][0] * CELLS[level][1]
        scores, boxes, kps = np.full((cells, 2), 0.01), np.zeros((cells, 4)), np.zeros((cells, 10))
        for (at, column, row, _), box in zip(places(), TRUTH, strict=True):
            if at == level:
                cell = at_level(level, column, row)
                scores[cell] = 0.9
                boxes[cell, :2] = box[:2] / stride - (column, row)
                boxes[cell, 2:] = np.log(box[2:] / stride)
                kps[cell] = np.tile(box[:2] / stride - (column, row), 5)
        outputs[f"cls_{stride}"], outputs[f"obj_{stride}"] = (
            scores[None, :, :1],
            scores[None, :, 1:],
        )
        outputs[f"bbox_{stride}"] = boxes[None]
        if points:
            outputs[f"kps_{stride}"] = kps[None]
    return outputs


def scrfd() -> dict[str, Array]:
    outputs: dict[str, Array] = {}
    for level, stride in enumerate(STRIDES):
        cells = 2 * CELLS[level][0] * CELLS[level][1]
        scores, boxes, kps = np.full((cells, 1), 0.01), np.zeros((cells, 4)), np.zeros((cells, 10))
        for (at, column, row, _), box in zip(places(), TRUTH, strict=True):
            if at == level:
                cell = 2 * at_level(level, column, row)
                corner = np.array([column, row]) * stride
                low, high = box[:2] - box[2:] / 2, box[:2] + box[2:] / 2
                scores[cell] = 0.9
                boxes[cell] = np.concatenate([corner - low, high - corner]) / stride
                kps[cell] = np.tile((box[:2] - corner) / stride, 5)
        outputs |= {f"score_{stride}": scores, f"bbox_{stride}": boxes, f"kps_{stride}": kps}
    return outputs


def blaze_by_levels(layout: str) -> dict[str, Array]:
    """The same in two outputs a level, as rows or as maps."""
    whole, outputs, start = blaze(), {}, 0
    for stride, anchors in ((8, 2), (16, 6)):
        width, height = SIZE[0] // stride, SIZE[1] // stride
        count = width * height * anchors
        for name, columns in (("regressors", 16), ("classificators", 1)):
            table = whole[name][0, start : start + count]
            maps = table.reshape(1, height, width, anchors * columns)
            found = {"rows": table[None], "maps": maps.transpose(0, 3, 1, 2), "maps last": maps}
            outputs[f"{name}_{stride}"] = found[layout]
        start += count
    return outputs


def tensorflow_offsets() -> dict[str, Array]:
    """``ty, tx, th, tw`` from the anchors of TensorFlow's SSDs, scores of one sigmoid a class."""
    anchors = []
    scales = [0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0]
    for level, stride in enumerate((16, 32, 64, 128, 256, 512)):
        columns, rows = -(-SIZE[0] // stride), -(-SIZE[1] // stride)
        scale = scales[level]
        forms = [(scale, r) for r in (1.0, 2.0, 0.5, 3.0, 0.3333)]
        forms.append((np.sqrt(scale * scales[level + 1]), 1.0))
        if level == 0:
            forms = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
        for row in range(rows):
            for column in range(columns):
                middle = (column + 0.5) / columns, (row + 0.5) / rows
                anchors += [(*middle, s * np.sqrt(r), s / np.sqrt(r)) for s, r in forms]
    table = np.random.default_rng(0).normal(0, 1, (1, len(anchors), 4))
    scores = np.full((1, len(anchors), 2), 0.02)
    scores[..., 0] = 0.97
    for box in TRUTH / (*SIZE, *SIZE):
        at = int(np.argmin([np.abs(np.array(a) - box).sum() for a in anchors]))
        x, y, w, h = anchors[at]
        moved = (box[:2] - (x, y)) / (w, h) / 0.1, np.log(box[2:] / (w, h)) / 0.2
        table[0, at] = [moved[0][1], moved[0][0], moved[1][1], moved[1][0]]
        scores[0, at] = 0.03, 0.9
    return {"raw_boxes": table, "raw_scores": scores}


ULTRA = ((8, 16, 32, 64), ((10, 16, 24), (32, 48), (64, 96), (128, 192, 256)))
RETINA = ((8, 16, 32), ((16, 32), (64, 128), (256, 512)))

FORMS: dict[str, tuple[Callable[[], dict[str, Array]], str]] = {
    "v5": (v5, "YOLOv5 head, 5 classes"),
    "v5 in 0..1": (v5_normalized, "YOLOv5 head, 5 classes"),
    "v8": (v8, "YOLOv8 head, 5 classes"),
    "v8 logits": (v8_logits, "YOLOv8 head, 5 classes"),
    "v8 with masks": (v8_segmentation, "YOLOv8 head, 5 classes"),
    "yolox": (yolox, "YOLOX head of grid offsets, 5 classes"),
    "yolox decoded": (yolox_decoded, "anchor-free head, 5 classes"),
    "ssd": (ssd, "SSD head, 5 classes and background"),
    "end to end": (end_to_end, "boxes after suppression in the model"),
    "raw v5": (raw_v5, "YOLOv5 feature maps, 5 classes, COCO anchors assumed"),
    "raw v5, 5-D": (lambda: raw_v5(True), "YOLOv5 feature maps, 5 classes, COCO anchors assumed"),
    "rknn v8": (raw_v8_six_with_sum, "YOLOv8 feature maps, boxes and 5 classes apart"),
    "horizon v8": (raw_v8_channels_last, "YOLOv8 feature maps, boxes and 5 classes apart"),
    "nanodet": (nanodet, "NanoDet feature maps, boxes and 5 classes apart"),
    "nanodet plus": (lambda: nanodet(True), "NanoDet head, 5 classes"),
    "raw yolox": (raw_yolox, "YOLOX feature maps, 5 classes"),
    "raw yolox apart": (
        lambda: raw_yolox(True),
        "YOLOX feature maps, boxes, objectness and 5 classes apart",
    ),
    "rows of seven": (rows_of_seven, "boxes after suppression in the model"),
    "split rows": (
        split_rows,
        "boxes after suppression in the model, scores and classes apart",
    ),
    "caffe": (caffe_rows, "boxes after suppression in the model"),
    "detr": (detr, "DETR head, 5 classes"),
    "rt-detr": (lambda: detr(True), "DETR head, 5 classes"),
    "raw v8": (raw_v8, "YOLOv8 feature maps, 5 classes"),
    "raw v8 apart": (lambda: raw_v8(True), "YOLOv8 feature maps, boxes and 5 classes apart"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_recognized_and_read(form: str) -> None:
    make, words = FORMS[form]
    outputs = {name: np.asarray(value, np.float32) for name, value in make().items()}
    head = recognize_head(OutputFacts(outputs, SIZE))
    assert head is not None
    assert head.form == words
    found = detections(*head.decode(outputs), overlap=head.overlap)
    order = np.argsort(found.xyxy[:, 0])
    assert found.classes[order].tolist() == list(LABELS)
    corners = np.concatenate([TRUTH[:, :2] - TRUTH[:, 2:] / 2, TRUTH[:, :2] + TRUTH[:, 2:] / 2], 1)
    assert np.allclose(found.xyxy[order], corners, atol=0.01)


FACES: dict[str, tuple[Callable[[], dict[str, Array]], str, bool]] = {
    "ultraface raw": (
        lambda: ssd_offsets(*ULTRA),
        "SSD head of offsets from UltraFace's priors, 1 class and background",
        False,
    ),
    "retinaface": (
        lambda: ssd_offsets(*RETINA),
        "SSD head of offsets from RetinaFace's priors, 1 class and background",
        False,
    ),
    "blaze": (blaze, "BlazeFace head of offsets from anchors, landmarks", True),
    **{
        f"blaze, {layout} a level": (
            partial(blaze_by_levels, layout),
            "BlazeFace head of offsets from anchors, 2 levels apart, landmarks",
            True,
        )
        for layout in ("rows", "maps", "maps last")
    },
    "tensorflow ssd": (
        tensorflow_offsets,
        "SSD head of offsets from TensorFlow SSD's priors, 1 class and background",
        False,
    ),
    "yunet 12": (yunet, "YuNet head, class and objectness apart, landmarks", True),
    "yunet 9": (lambda: yunet(False), "YuNet head, class and objectness apart", False),
    "scrfd": (scrfd, "SCRFD head, distances to four sides, landmarks", True),
}


@pytest.mark.parametrize("form", FACES)
def test_every_face_detector_is_recognized_and_read(form: str) -> None:
    make, words, has_points = FACES[form]
    outputs = {name: np.asarray(value, np.float32) for name, value in make().items()}
    facts = OutputFacts(outputs, SIZE)
    head = recognize_head(facts)
    assert head is not None
    assert head.form == words
    found = detections(*head.decode(outputs), overlap=head.overlap)
    order = np.argsort(found.xyxy[:, 0])
    corners = np.concatenate([TRUTH[:, :2] - TRUTH[:, 2:] / 2, TRUTH[:, :2] + TRUTH[:, 2:] / 2], 1)
    assert np.allclose(found.xyxy[order], corners, atol=0.02)
    assert set(head.reads) == set(outputs)
    if has_points and not form.startswith("blaze"):
        assert head.points is not None
        points = head.points(outputs)[found.rows[order]]
        assert np.allclose(points, TRUTH[:, None, :2], atol=0.02)


@pytest.mark.parametrize("pixels", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_boxes_with_y_first_are_told_by_the_picture_or_by_their_name(
    pixels: bool, turned: bool
) -> None:
    outputs = {n: np.asarray(v, np.float32) for n, v in ssd().items()}
    boxes = outputs.pop("boxes") * ((*SIZE, *SIZE) if pixels else 1)
    order = [1, 0, 3, 2] if turned else [0, 1, 2, 3]
    outputs["Detection_Boxes:0" if turned and not pixels else "boxes"] = boxes[..., order]
    head = recognize_head(OutputFacts(outputs, SIZE))
    assert head is not None
    assert ("y first" in head.form) is turned
    found = detections(*head.decode(outputs), overlap=head.overlap)
    corners = np.concatenate([TRUTH[:, :2] - TRUTH[:, 2:] / 2, TRUTH[:, :2] + TRUTH[:, 2:] / 2], 1)
    assert np.allclose(found.xyxy[np.argsort(found.xyxy[:, 0])], corners, atol=0.02)


def test_suppressed_boxes_of_tensorflow_have_y_first() -> None:
    given = {n: np.asarray(v, np.float32) for n, v in split_rows().items()}
    corners = given.pop("det_boxes")
    turned = (corners / (*SIZE, *SIZE))[..., [1, 0, 3, 2]]
    head = recognize_head(OutputFacts({**given, "detection_boxes": turned}, SIZE))
    assert head is not None
    found, _ = head.decode({**given, "detection_boxes": turned})
    assert np.allclose(found, corners[0], atol=0.02)


def test_independent_scores_need_no_background() -> None:
    outputs = {n: np.asarray(v, np.float32) for n, v in tensorflow_offsets().items()}
    outputs["raw_scores"] = np.where(outputs["raw_scores"] == 0.97, 0.01, outputs["raw_scores"])
    outputs["raw_scores"] = outputs["raw_scores"].astype(np.float32)
    head = recognize_head(OutputFacts(outputs, SIZE))
    assert head is not None
    assert head.form.endswith("2 classes")
    assert set(detections(*head.decode(outputs)).classes.tolist()) == {1}


def test_priors_of_the_graph_come_before_those_of_a_known_model() -> None:
    outputs = {n: np.asarray(v, np.float32) for n, v in ssd_offsets(*RETINA).items()}
    count = outputs["loc"].shape[1]
    priors = np.tile(np.array([0.5, 0.5, 0.25, 0.25], np.float32), (count, 1))
    head = recognize_head(OutputFacts(outputs, SIZE, {}, {"anchors": priors}))
    assert head is not None
    assert head.form.startswith("SSD head of offsets from the priors anchors")
    outputs["loc"][:] = 0
    corners, _ = head.decode(outputs)
    assert np.allclose(corners[0], [48, 36, 80, 60])


def test_offsets_from_unknown_priors_are_no_corners() -> None:
    outputs = {n: np.asarray(v[:, 3:], np.float32) for n, v in ssd_offsets(*RETINA).items()}
    head = recognize_head(OutputFacts(outputs, SIZE))
    assert head is not None
    assert head.form.endswith("boxes not decoded")
    assert head.assumed
    assert not head.drawable
    found = detections(*head.decode(outputs), overlap=head.overlap)
    assert len(found) == len(TRUTH)


def test_names_tell_classes_from_key_points() -> None:
    outputs = v8()
    outputs["output0"] = np.concatenate([outputs["output0"], np.zeros((1, 51, 252))], axis=1)
    names = str(dict.fromkeys(range(CLASSES), "thing"))
    head = recognize_head(OutputFacts(outputs, SIZE, {"names": names}))
    assert head is not None
    assert head.form == "YOLOv8 head, 5 classes"


@pytest.mark.parametrize(
    "shape", [(1, 1000), (1, 3, 96, 128), (1, 197, 768), (1, 40, 6625), (2, 252, 9), (1, 252)]
)
def test_other_outputs_are_no_heads(shape: tuple[int, ...]) -> None:
    outputs = {"output": np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)}
    assert recognize_head(OutputFacts(outputs, SIZE)) is None


def test_without_a_picture_there_is_no_detector() -> None:
    assert recognize_head(OutputFacts(v8(), None)) is None
