"""Every form of a head is written by an encoder of its own, and read back."""

from __future__ import annotations

from collections.abc import Callable
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
