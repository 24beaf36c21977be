"""From a picture to a net's input, from its output to an answer, and how good the answer is.

Written with numpy, cv2 and Pillow alone: the sample models are measured here as their users
would, with nothing of qdebug in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image

from sample_models.build.scenes import Scene
from sample_models.build.textures import Picture

Array = NDArray[np.float32]
Prepare = Callable[[Picture], Array]

IMAGENET_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
IMAGENET_STD = np.array([58.395, 57.12, 57.375], np.float32)
SCORE, OVERLAP = 0.25, 0.5


def _nchw(picture: NDArray[np.floating]) -> Array:
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)


def letterbox_frame(width: int, height: int, size: int = 320) -> tuple[float, int, int]:
    """Scale, left and top border of a centred letterbox, rounded as Ultralytics rounds."""
    scale = min(size / width, size / height)
    left = round((size - round(width * scale)) / 2 - 0.1)
    top = round((size - round(height * scale)) / 2 - 0.1)
    return scale, left, top


def for_detector(picture: Picture, size: int = 320) -> Array:
    """``letterbox 320 pad 114 | rgb | /255 | nchw``."""
    height, width = picture.shape[:2]
    scale, left, top = letterbox_frame(width, height, size)
    shape = (round(width * scale), round(height * scale))
    square = np.full((size, size, 3), 114, np.uint8)
    inner = picture if shape == (width, height) else cv2.resize(picture, shape)
    square[top : top + shape[1], left : left + shape[0]] = inner
    return _nchw(square.astype(np.float32) / 255)


def for_classifier(picture: Picture) -> Array:
    """``resize 96x96 cv2 linear | rgb | mean 123.675,... std 58.395,... | nchw``."""
    resized = cv2.resize(picture, (96, 96), interpolation=cv2.INTER_LINEAR)
    return _nchw((resized.astype(np.float32) - IMAGENET_MEAN) / IMAGENET_STD)


def for_transformer(picture: Picture) -> Array:
    """``resize 64x64 pil bilinear | rgb | /255 | mean 0.5,0.5,0.5 std 0.5,0.5,0.5 | nchw``."""
    resized = Image.fromarray(picture).resize((64, 64), Image.Resampling.BILINEAR)
    return _nchw((np.asarray(resized, np.float32) / 255 - np.float32(0.5)) / np.float32(0.5))


def outputs(model: Path, inputs: Iterable[Array]) -> list[Array]:
    """First output of ``model`` for each input, on the CPU, two threads, optimized as deployed."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [np.asarray(session.run(None, {name: x})[0], np.float32) for x in inputs]


@dataclass(frozen=True)
class Detections:
    """Boxes [count, 4] x1 y1 x2 y2 in the net's pixels, scores and classes [count]."""

    boxes: Array
    scores: Array
    classes: NDArray[np.int64]


def detections(output: Array) -> Detections:
    """Reads a detector output [1, 4 + classes, cells]: score 0.25, greedy NMS at IoU 0.5."""
    boxes, scores = output[0, :4].T, output[0, 4:].T
    best, classes = scores.max(1), scores.argmax(1)
    order = np.flatnonzero(best > SCORE)
    order = order[np.argsort(-best[order], kind="stable")]
    corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)
    kept: list[int] = []
    for index in order:
        if not kept or iou(corners[index], corners[kept]).max() < OVERLAP:
            kept.append(int(index))
    return Detections(corners[kept], best[kept], classes[kept])


def iou(box: Array, boxes: Array) -> Array:
    """Intersection over union of one box with many, x1 y1 x2 y2."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    inner = sides.clip(0).prod(1)
    union = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - inner
    return np.asarray(inner / union, np.float32)


def f1_of(scenes: list[Scene], found: list[Detections]) -> tuple[float, int, int]:
    """F1 at IoU 0.5 with the right class, true positives, and how many objects there are."""
    hits = reported = objects = 0
    for scene, seen in zip(scenes, found, strict=True):
        free = set(range(len(scene.classes)))
        objects, reported = objects + len(free), reported + len(seen.classes)
        for box, label in zip(seen.boxes, seen.classes, strict=True):
            match = iou(box, scene.boxes) * (scene.classes == label) if free else np.zeros(0)
            best = max(free, key=lambda index: match[index], default=None)
            if best is not None and match[best] >= OVERLAP:
                free.discard(best)
                hits += 1
    return 2 * hits / max(objects + reported, 1), hits, objects


def cosine(left: Iterable[Array], right: Iterable[Array]) -> float:
    """Cosine over all samples together, summed in float64."""
    sums = np.zeros(3)
    for a, b in zip(left, right, strict=True):
        x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
        sums += (x @ y, x @ x, y @ y)
    return float(sums[0] / np.sqrt(sums[1] * sums[2]))


def sqnr_db(reference: Iterable[Array], other: Iterable[Array]) -> float:
    """Signal to quantization noise in dB, raw power, over all samples together."""
    signal = noise = 0.0
    for a, b in zip(reference, other, strict=True):
        x = a.astype(np.float64)
        signal += float(np.square(x).sum())
        noise += float(np.square(x - b).sum())
    return float(10 * np.log10(signal / noise)) if noise else float("inf")


def accuracy(found: Iterable[Array], labels: NDArray[np.int64]) -> float:
    """Top-1 share of logits [1, classes] a picture."""
    top = [int(logits.argmax()) for logits in found]
    return float(np.mean(np.array(top) == labels))
