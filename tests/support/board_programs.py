"""A board's program behind the network: plain decoding, with the mistakes that such programs make.

Written from the models' own repositories and without qdebug's decoders, which are held against it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
V5_ANCHORS = {
    8: [(10, 13), (16, 30), (33, 23)],
    16: [(30, 61), (62, 45), (59, 119)],
    32: [(116, 90), (156, 198), (373, 326)],
}


@dataclass(frozen=True)
class Program:
    """What runs behind the network.

    Attributes:
        head: ``v5`` [1, n, 5 + c], ``v8`` [1, 4 + c, n], ``yolox`` grid offsets, ``ssd`` corners,
            ``maps`` v8's last convolutions.
        size: width and height of the input.
        letterbox: ``centre``, ``corner`` or ``stretch``.
        mistake: what goes wrong; empty for nothing.
        confidence: threshold.
    """

    head: str
    size: tuple[int, int]
    letterbox: str
    mistake: str = ""
    confidence: float = 0.25

    def answer(self, outputs: Sequence[Array], source: tuple[int, int]) -> list[list[float]]:
        """``x, y, width, height, score, class`` of every box of a picture."""
        boxes, objects, classes = self._decoded([np.asarray(o, np.float64) for o in outputs])
        scores = self._scores(objects, classes)
        corners = self._corners(boxes)
        best, label = scores.max(axis=1), scores.argmax(axis=1)
        rows = np.flatnonzero(best > (0.6 if self.mistake == "threshold" else self.confidence))
        rows = rows[np.argsort(-best[rows], kind="stable")][:4000]
        rows = rows[self._kept(corners[rows], boxes[rows], label[rows])]
        rows = rows[: 4 if self.mistake == "top-k" else 300]
        placed = self._placed(corners[rows], source)
        return [
            self._written(b, float(best[r]), int(label[r]))
            for r, b in zip(rows, placed, strict=True)
        ]

    def _decoded(self, outputs: list[Array]) -> tuple[Array, Array, Array]:
        """Centre and size in pixels of the input, objectness and classes."""
        if self.head == "v8":
            table = outputs[0][0].T
            return self._from_cells(table[:, :4], 1), np.ones((len(table), 1)), table[:, 4:]
        if self.head == "v5":
            table = outputs[0][0]
            return self._from_cells(table[:, :4], 3), table[:, 4:5], table[:, 5:]
        if self.head == "yolox":
            return self._yolox(outputs[0][0])
        if self.head == "ssd":
            scores, boxes = outputs[0][0], outputs[1][0]
            size = np.array([*self.size, *self.size])
            low, high = boxes[:, :2] * size[:2], boxes[:, 2:] * size[:2]
            table = np.concatenate([(low + high) / 2, high - low], axis=1)
            kept = scores if self.mistake == "background" else scores[:, 1:]
            return table, np.ones((len(table), 1)), kept
        return self._maps(outputs)

    def _grid(self, per_cell: int) -> tuple[Array, Array, Array]:
        """Strides, cells and anchors of every candidate."""
        strides, cells, anchors = [], [], []
        for stride in (8, 16, 32):
            w, h = self.size[0] // stride, self.size[1] // stride
            y, x = np.mgrid[:h, :w]
            for at in range(per_cell):
                strides.append(np.full(w * h, float(stride)))
                cells.append(np.stack([x.ravel(), y.ravel()], axis=1))
                anchors.append(np.tile(V5_ANCHORS[stride][at], (w * h, 1)))
        return (
            np.concatenate(strides),
            np.concatenate(cells).astype(float),
            np.concatenate(anchors).astype(float),
        )

    def _from_cells(self, table: Array, per_cell: int) -> Array:
        """A program that decodes from cells itself makes its mistakes there."""
        strides, _, anchors = self._grid(per_cell)
        table = table.copy()
        if self.mistake == "half-cell":
            table[:, :2] += 0.5 * strides[:, None]
        if self.mistake == "strides":
            other = np.array([{8: 32, 16: 16, 32: 8}[int(s)] for s in strides])[:, None]
            table[:, :2] *= other / strides[:, None]
            if per_cell == 1:
                table[:, 2:] *= other / strides[:, None]
        if self.mistake == "anchors-of-level" and per_cell == 3:
            own = {tuple(a): (s, i) for s, v in V5_ANCHORS.items() for i, a in enumerate(v)}
            places = [own[tuple(a)] for a in anchors.astype(int)]
            used = np.array([V5_ANCHORS[{8: 32, 16: 16, 32: 8}[s]][i] for s, i in places])
            table[:, 2:] *= used / anchors
        if self.mistake == "anchors-of-model" and per_cell == 3:
            # YOLOv5's anchors for 1280 (P6 models), level by level
            p6 = {
                8: [(19, 27), (44, 40), (38, 94)],
                16: [(96, 68), (86, 152), (180, 137)],
                32: [(140, 301), (303, 264), (238, 542)],
            }
            own = {tuple(a): (s, i) for s, v in V5_ANCHORS.items() for i, a in enumerate(v)}
            places = [own[tuple(a)] for a in anchors.astype(int)]
            table[:, 2:] *= np.array([p6[s][i] for s, i in places]) / anchors
        return table

    def _yolox(self, table: Array) -> tuple[Array, Array, Array]:
        strides, cells, _ = self._grid(1)
        s = strides[:, None]
        if self.mistake == "strides":
            s = np.array([{8: 32, 16: 16, 32: 8}[int(v)] for v in strides])[:, None]
        move = 0.5 if self.mistake == "half-cell" else 0.0
        center, size = (table[:, :2] + cells + move) * s, np.exp(table[:, 2:4]) * s
        return np.concatenate([center, size], axis=1), table[:, 4:5], table[:, 5:]

    def _maps(self, outputs: list[Array]) -> tuple[Array, Array, Array]:
        """Pairs of [1, 64, h, w] and [1, c, h, w], the finest first."""
        boxes, classes = [], []
        order = [32, 16, 8] if self.mistake == "strides" else [8, 16, 32]
        for at, stride in enumerate(order):
            box, found = outputs[2 * at][0], outputs[2 * at + 1][0]
            h, w = box.shape[1:]
            bins = box.reshape(4, 16, -1)
            axis = 0 if self.mistake == "softmax-axis" else 1
            powers = np.exp(bins - bins.max(axis=axis, keepdims=True))
            sides = (powers / powers.sum(axis=axis, keepdims=True) * np.arange(16)[:, None]).sum(1)
            y, x = np.mgrid[:h, :w]
            middle = 0.0 if self.mistake == "half-cell" else 0.5
            cx, cy = x.ravel() + middle, y.ravel() + middle
            x1, y1, x2, y2 = cx - sides[0], cy - sides[1], cx + sides[2], cy + sides[3]
            table = np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], axis=1)
            boxes.append(table * stride)
            logits = found.reshape(len(found), -1).T
            classes.append(logits if self.mistake == "sigmoid-missing" else _sigmoid(logits))
        return np.concatenate(boxes), np.ones((sum(map(len, boxes)), 1)), np.concatenate(classes)

    def _scores(self, objects: Array, classes: Array) -> Array:
        if self.mistake == "sigmoid-twice":
            one = np.ones_like(objects) if self.head in ("v8", "maps", "ssd") else _sigmoid(objects)
            return np.asarray(one * _sigmoid(classes))
        if self.mistake == "objectness-missing":
            return classes
        return np.asarray(objects * classes)

    def _corners(self, boxes: Array) -> Array:
        center, size = boxes[:, :2], boxes[:, 2:]
        if self.mistake == "centre-as-corner":
            return np.concatenate([center, center + size], axis=1)
        if self.mistake == "centre-as-corners":
            return boxes
        found = np.concatenate([center - size / 2, center + size / 2], axis=1)
        return found[:, [1, 0, 3, 2]] if self.mistake == "axes-swapped" else found

    def _kept(self, corners: Array, boxes: Array, label: Array) -> Array:
        if self.mistake == "nms-missing":
            return np.arange(len(corners))
        if self.mistake == "nms-agnostic":
            label = np.zeros_like(label)
        if self.mistake == "nms-coordinates":
            corners = boxes
        left, kept = np.arange(len(corners)), []
        while len(left):
            best, left = left[0], left[1:]
            kept.append(int(best))
            over = _iou(corners[best], corners[left]) > 0.45
            left = left[~(over & (label[left] == label[best]))]
        return np.array(kept, np.int64)

    def _placed(self, corners: Array, source: tuple[int, int]) -> Array:
        (tw, th), (sw, sh) = self.size, source
        if self.mistake == "not-undone":
            return corners
        r = min(tw / sw, th / sh)
        nw, nh = round(sw * r), round(sh * r)
        left, top = round((tw - nw) / 2 - 0.1), round((th - nh) / 2 - 0.1)
        scale: tuple[float, float] = (nw / sw, nh / sh)
        offset: tuple[float, float] = (left, top)
        if self.letterbox == "corner":
            offset = (0, 0)
        if self.letterbox == "stretch":
            scale, offset = (tw / sw, th / sh), (0, 0)
        if self.mistake == "padding-left":
            offset = (0, 0)
        if self.mistake == "rounding":
            offset = (left + 1, top + 1)
        if self.mistake == "stretch-undone":
            scale, offset = (tw / sw, th / sh), (0, 0)
        if self.mistake == "letterbox-undone":
            scale, offset = (r, r), ((tw - sw * r) / 2, (th - sh * r) / 2)
        moved = (corners - [*offset, *offset]) / [*scale, *scale]
        return np.clip(moved, 0, [sw, sh, sw, sh])

    def _written(self, box: Array, score: float, label: int) -> list[float]:
        x1, y1, x2, y2 = (round(float(v), 2) for v in box)
        width, height = (x2, y2) if self.mistake == "corners-written" else (x2 - x1, y2 - y1)
        return [x1, y1, width, height, round(score, 4), label + (self.mistake == "class-shift")]


def _sigmoid(values: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-values)))


def _iou(one: Array, many: Array) -> Array:
    """Of one box with each of many."""
    low, high = np.maximum(one[:2], many[:, :2]), np.minimum(one[2:], many[:, 2:])
    inner = np.clip(high - low, 0, None).prod(axis=1)
    own, others = (np.clip(b[..., 2:] - b[..., :2], 0, None).prod(axis=-1) for b in (one, many))
    together = own + others - inner
    return np.asarray(np.divide(inner, together, out=np.zeros_like(inner), where=together > 0))


def write_coco(answers: Mapping[str, Sequence[Sequence[float]]], file: Path) -> Path:
    """COCO results, the pictures by their file names."""
    rows = [
        {
            "image_id": name,
            "bbox": [float(v) for v in box[:4]],
            "score": float(box[4]),
            "category_id": int(box[5]),
        }
        for name, boxes in answers.items()
        for box in boxes
    ]
    file.write_text(json.dumps(rows), encoding="utf-8")
    return file


def read_text(output: Array, characters: Sequence[str], mistake: str = "") -> str:
    """Greedy CTC of [1, steps, symbols], the blank first and a space last."""
    table = output[0]
    best = table.argmax(axis=1).tolist()
    symbols = ["", *characters, " "]
    blank = len(symbols) - 1 if mistake == "blank" else 0
    move = {"list-shift-up": 1, "list-shift-down": -1}.get(mistake, 0)
    if mistake == "blank-before-merging":
        best = [b for b in best if b != blank]
    text, before = [], -1
    for code in best:
        if code != blank and (code != before or mistake == "not-merged"):
            at = code + move
            text.append(symbols[at] if 0 <= at < len(symbols) else "?")
        before = code
    return "".join(text)


def read_class(output: Array, mistake: str = "") -> int:
    """The best class of a classifier."""
    scores = output.reshape(-1)
    if mistake == "least":
        return int(scores.argmin())
    return int(scores.argmax()) + {"background": 1, "from-one": 1}.get(mistake, 0)
