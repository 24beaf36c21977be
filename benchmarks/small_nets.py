"""Small networks that work, built without training, for heads that the zoo lacks.

They find squares in pictures that are drawn for them. Colour opponents are taken by a random
expansion and its inverse (so that quantization has something to lose), then the mean and the first
moments of each colour in a window around every cell: one convolution each. From these moments
every head is linear: scores, offsets, distributions, points. How each is read again is written
here too, apart from what qdebug's decoders do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

Array = npt.NDArray[Any]
Outputs = dict[str, Array]
Found = list[tuple[int, float, float, float]]
"""Objects: class, centre and side in pixels."""

SIDE = 128
SQUARE = 24
"""Side of the smaller squares, pixels; the larger ones are twice as wide."""
STRIDES = (8, 16, 32)
SPEC = "rgb | /255 | nchw"
_WINDOW, _RING = 32, 40
_CONTRAST = 0.75
"""Opponent of a square's colour: 0.9 against 0.15."""


def draw(folder: Path, count: int, seed: int, objects: int | None = None) -> list[Path]:
    """Grey textured pictures with coloured squares.

    Args:
        folder: where to.
        count: how many.
        seed: of the random numbers.
        objects: squares a picture; None for one to three. Where there is one, it is large in every
            other picture, of every colour within eighteen, so that these reach every level.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for at in range(count):
        value = rng.uniform(0.4, 0.6) + rng.normal(0, 0.03, (SIDE, SIDE, 1))
        value = np.repeat(value, 3, axis=2) + rng.normal(0, 0.01, (SIDE, SIDE, 3))
        number = objects if objects is not None else 1 + at % 3
        large = number == 1 and at % 2 == 0
        quarters = rng.permutation(4)[:number]
        for quarter in quarters:
            side = 2 * SQUARE if large else SQUARE
            low, high = (4, SIDE // 2 - side - 4) if side == SQUARE else (2, 12)
            top, left = rng.integers(low, high, 2) + np.array(divmod(quarter, 2)) * (SIDE // 2)
            color = np.full(3, 0.15)
            color[at // 6 % 3 if large else rng.integers(0, 3)] = 0.9
            value[top : top + side, left : left + side] = color + rng.normal(0, 0.01, 3)
        files.append(folder / f"{seed}_{at:03d}.png")
        Image.fromarray(np.uint8(np.clip(value, 0, 1) * 255 + 0.5)).save(files[-1])
    return files


@dataclass
class Net:
    """Nodes and constants of a graph under construction."""

    opset: int
    rng: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """A constant's name."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """A node with one output; its name."""
        name = output or f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"n_{name}", **attributes))
        return name

    def conv(self, x: str, weight: Array, bias: Array | None = None, **attributes: Any) -> str:
        """A convolution."""
        inputs = [x, self.constant(weight)]
        if bias is not None:
            inputs.append(self.constant(bias))
        return self.add("Conv", *inputs, **attributes)

    def mix(self, x: str, weight: Array, bias: Array) -> str:
        """A convolution of single pixels."""
        return self.conv(x, np.asarray(weight)[:, :, None, None], bias)

    def rows(self, x: str, channels: int, output: str = "") -> str:
        """``[1, c, h, w]`` as ``[1, cells, channels]``."""
        moved = self.add("Transpose", x, perm=[0, 2, 3, 1])
        shape = self.constant([1, -1, channels], np.int64)
        return self.add("Reshape", moved, shape, output=output)

    def end(self, *names: str) -> None:
        """Make tensors outputs."""
        self.outputs += names

    def model(self) -> onnx.ModelProto:
        """The finished model."""
        graph = helper.make_graph(
            self.nodes,
            "small",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in self.outputs],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 8
        return onnx.shape_inference.infer_shapes(model)


def colors(net: Net, *, padded: bool = False) -> str:
    """``[1, 3, side, side]``: how much more red, green or blue than grey, 0 to ``_CONTRAST``."""
    expand = net.rng.normal(0, 1, (8, 3))
    both = np.concatenate([expand, -expand])
    soft = np.outer([1, 2, 1], [1, 2, 1]) / 16.0
    x, pads = "image", [1, 1, 1, 1]
    if padded:
        around = [0, 0, 1, 1, 0, 0, 1, 1]
        if net.opset >= 11:
            x = net.add("Pad", x, net.constant(around, np.int64))
        else:
            x = net.add("Pad", x, pads=around)
        pads = [0, 0, 0, 0]
    x = net.add("Relu", net.conv(x, both[:, :, None, None] * soft, np.zeros(16), pads=pads))
    scales = net.rng.uniform(0.5, 2.0, 16)
    x = net.conv(x, scales[:, None, None, None] * soft[None, None], group=16, pads=[1, 1, 1, 1])
    statistics = [np.ones(16), np.zeros(16), np.zeros(16), np.ones(16) - 1e-5]
    x = net.add("BatchNormalization", x, *(net.constant(v) for v in statistics))
    opponent = 1.5 * np.eye(3) - 0.5
    inverse = np.linalg.pinv(expand)
    back = opponent @ np.concatenate([inverse, -inverse], axis=1) / scales
    return net.add("Relu", net.mix(x, back, np.full(3, -0.03)))


def moments(net: Net, color: str, halvings: int, kernels: tuple[str, str]) -> str:
    """``[1, 9, h, w]``: of each colour the share of a square, and its offset in cells, x then y."""
    for _ in range(halvings):
        color = net.add("AveragePool", color, kernel_shape=[2, 2], strides=[2, 2])
    pads = [(_RING - STRIDES[0]) // 2] * 4
    return net.add("Conv", color, *kernels, strides=[8, 8], pads=pads)


def moment_kernels(net: Net) -> tuple[str, str]:
    """Weight and bias of ``moments``, for all levels."""
    way = np.arange(_RING) - (_RING - 1) / 2
    inside = np.abs(way) < _WINDOW / 2
    window = np.outer(inside, inside).astype(np.float64)
    share = np.where(window > 0, 1.0, -2.0)
    maps = [share, window * way[None, :] / 8, window * way[:, None] / 8]
    weight = np.zeros((9, 3, _RING, _RING))
    for at, kernel in enumerate(maps):
        for color in range(3):
            weight[3 * at + color, color] = kernel / (SQUARE**2 * _CONTRAST)
    return net.constant(weight), net.constant(np.zeros(9))


SCORE = np.concatenate([25 * np.eye(3), np.zeros((3, 6))], axis=1)
SCORE_BIAS = np.full(3, -17.0)
OFFSET = np.kron(np.array([[0, 1, 0], [0, 0, 1]]), np.ones((1, 3)))
"""Moments to offset of the square's middle from the cell's, in cells."""
HALF = SQUARE / 2 / 8


def levels(net: Net, count: int = 3, *, padded: bool = False) -> list[str]:
    """Moments of each level."""
    color, kernels = colors(net, padded=padded), moment_kernels(net)
    return [moments(net, color, at, kernels) for at in range(count)]


def bins(count: int, sharpness: float = 2.0) -> tuple[Array, Array]:
    """Weights and bias that give distributions whose means are the distances to the sides."""
    at = np.arange(count)
    weight, bias = [], []
    for sign, axis in ((-1, 0), (-1, 1), (1, 0), (1, 1)):
        weight.append(2 * sharpness * at[:, None] * sign * OFFSET[axis][None])
        bias.append(sharpness * (2 * at * HALF - at**2))
    return np.concatenate(weight), np.concatenate(bias)


def classifier(net: Net) -> None:
    """Class of the only square, behind an explicit ``Pad``."""
    pooled = net.add("Flatten", net.add("GlobalAveragePool", colors(net, padded=True)))
    weight = net.constant(400 * np.eye(3))
    net.end(net.add("Gemm", pooled, weight, net.constant(np.zeros(3)), output="logits"))


def yunet(net: Net) -> None:
    """Red squares as faces, twelve outputs."""
    for stride, found in zip(STRIDES, levels(net), strict=True):
        for name, rows in (("cls", [0]), ("obj", [0])):
            score = net.add("Sigmoid", net.mix(found, SCORE[rows], SCORE_BIAS[rows]))
            net.end(net.rows(score, 1, f"{name}_{stride}"))
        size = np.full(2, np.log(2 * HALF))
        box = net.mix(found, np.concatenate([OFFSET, 0 * OFFSET]), np.r_[0.5, 0.5, size])
        net.end(net.rows(box, 4, f"bbox_{stride}"))
        points = np.array([[-1, -1], [1, -1], [0, 0], [-1, 1], [1, 1]]).reshape(-1) * HALF / 2
        kps = net.mix(found, np.tile(OFFSET, (5, 1)), points + 0.5)
        net.end(net.rows(kps, 10, f"kps_{stride}"))


def nanodet(net: Net) -> None:
    """Class probabilities and distributions over eight bins, a pair of rows a level."""
    for stride, found in zip(STRIDES, levels(net, padded=True), strict=True):
        score = net.add("Sigmoid", net.mix(found, SCORE, SCORE_BIAS))
        net.end(net.rows(score, 3, f"cls_pred_stride_{stride}"))
        net.end(net.rows(net.mix(found, *bins(8)), 32, f"dis_pred_stride_{stride}"))


def yolov8(net: Net) -> None:
    """Six maps: distributions over sixteen bins, and class logits."""
    for at, found in enumerate(levels(net)):
        boxes, scores = net.mix(found, *bins(16)), net.mix(found, SCORE, SCORE_BIAS)
        net.end(net.add("Identity", boxes, output=f"box{at}"))
        net.end(net.add("Identity", scores, output=f"class{at}"))


def ssd(net: Net) -> None:
    """Offsets from RetinaFace's priors, two a cell, red squares only; logits with background."""
    boxes, scores = [], []
    for found in levels(net):
        sizes = np.array((16, 32)) / 8
        weight, bias = [], []
        for size in sizes:
            weight += [OFFSET / size / 0.1, 0 * OFFSET]
            bias += [0, 0, np.log(2 * HALF / size) / 0.2, np.log(2 * HALF / size) / 0.2]
        boxes.append(net.rows(net.mix(found, np.concatenate(weight), np.array(bias)), 4))
        pair = np.concatenate([-SCORE[:1], SCORE[:1]] * 2) / 2
        shift = np.tile([-SCORE_BIAS[0], SCORE_BIAS[0]], 2) / 2
        scores.append(net.rows(net.mix(found, pair, shift), 2))
    net.end(net.add("Concat", *boxes, axis=1, output="loc"))
    net.end(net.add("Concat", *scores, axis=1, output="conf"))


def ssd_tensorflow(net: Net) -> None:
    """Corners ``y1, x1, y2, x2`` in 0..1, decoded, and independent scores behind background."""
    boxes, scores = [], []
    for stride, found in zip(STRIDES, levels(net), strict=True):
        half, side = HALF * stride / SIDE, SIDE // stride
        y, x = (np.mgrid[:side, :side] + 0.5) / side
        grid = np.stack([y - half, x - half, y + half, x + half])
        turned = np.tile(OFFSET[::-1], (2, 1)) * stride / SIDE
        moved = net.add("Add", net.mix(found, turned, np.zeros(4)), net.constant(grid[None]))
        boxes.append(net.rows(moved, 4))
        weight = np.concatenate([-SCORE.sum(axis=0, keepdims=True), SCORE])
        score = net.mix(found, weight, np.r_[-SCORE_BIAS[0], SCORE_BIAS])
        scores.append(net.rows(net.add("Sigmoid", score), 4))
    net.end(net.add("Concat", *boxes, axis=1, output="raw_detection_boxes"))
    net.end(net.add("Concat", *scores, axis=1, output="raw_detection_scores"))


BLAZE = ((8, 2), (16, 6))
"""Pixels and anchors a cell of BlazeFace's levels."""


def blaze(net: Net) -> None:
    """Red squares as faces with six points, two outputs a level; the first anchor finds them."""
    for (stride, anchors), found in zip(BLAZE, levels(net, 2), strict=True):
        side = 2 * HALF * stride
        weight = np.concatenate([OFFSET, 0 * OFFSET, np.tile(OFFSET, (6, 1))]) * stride
        points = np.array([[-1, -1], [1, -1], [0, 0], [-1, 1], [1, 1], [0, 1]]).reshape(-1)
        bias = np.r_[0, 0, side, side, points * side / 4]
        boxes = net.mix(found, np.tile(weight, (anchors, 1)), np.tile(bias, anchors))
        silent = np.zeros((anchors - 1, 9))
        score = net.mix(
            found, np.r_[SCORE[:1], silent], np.r_[SCORE_BIAS[0], np.full(anchors - 1, -17.0)]
        )
        net.end(net.rows(score, 1, f"classificator_{stride}"))
        net.end(net.rows(boxes, 16, f"regressor_{stride}"))


def detr(net: Net) -> None:
    """A query a cell: logits with "no object" last, centre and size in 0..1."""
    (found,) = levels(net, 1)
    scores = net.mix(found, np.concatenate([SCORE, np.zeros((1, 9))]), np.r_[SCORE_BIAS, 0])
    net.end(net.rows(scores, 4, "pred_logits"))
    size = np.full(2, SQUARE / SIDE)
    box = net.mix(found, np.concatenate([OFFSET, 0 * OFFSET]) * 8 / SIDE, np.r_[0, 0, size])
    y, x = np.mgrid[: SIDE // 8, : SIDE // 8]
    grid = np.stack([x, y, 0 * x - 0.5, 0 * y - 0.5]).astype(np.float64) + 0.5
    moved = net.add("Add", box, net.constant(grid[None] * 8 / SIDE))
    net.end(net.rows(moved, 4, "pred_boxes"))


def segmentation(net: Net) -> None:
    """Logits of grey and three colours for every fourth pixel, channels last."""
    pooled = net.add("AveragePool", colors(net), kernel_shape=[4, 4], strides=[4, 4])
    logits = net.mix(pooled, np.r_[np.zeros((1, 3)), 20 * np.eye(3)], np.r_[0, -7, -7, -7])
    net.end(net.add("Transpose", logits, perm=[0, 2, 3, 1], output="classes"))


def segmentation_enlarged(net: Net) -> None:
    """The same for every eighth pixel, enlarged as ``Upsample`` does: pixels begin at corners."""
    pooled = net.add("AveragePool", colors(net), kernel_shape=[8, 8], strides=[8, 8])
    logits = net.mix(pooled, np.r_[np.zeros((1, 3)), 20 * np.eye(3)], np.r_[0, -7, -7, -7])
    scales = net.constant([1, 1, 4, 4])
    how = {"mode": "linear", "coordinate_transformation_mode": "asymmetric"}
    net.end(net.add("Resize", logits, "", scales, output="classes", **how))


def segmentation_with_a_quiet_branch(net: Net) -> None:
    """The same, channels first: two scales through one weight, and a map of an absent colour."""
    color = colors(net)
    weight = net.constant(np.eye(3)[:, :, None, None] * np.ones((1, 1, 3, 3)) / 9)
    fine = net.add("Conv", color, weight, pads=[1, 1, 1, 1], strides=[2, 2])
    coarse = net.add("Conv", fine, weight, pads=[1, 1, 1, 1], strides=[2, 2])
    pooled = net.add("AveragePool", fine, kernel_shape=[2, 2], strides=[2, 2])
    both = net.add("Concat", pooled, coarse, axis=1)
    mix = np.concatenate([np.eye(3), np.eye(3)], axis=1)
    logits = net.mix(both, np.r_[np.zeros((1, 6)), 12 * mix], np.r_[0, -7, -7, -7])
    net.end(net.add("Identity", logits, output="classes"))
    yellow = net.mix(pooled, np.array([[8.0, 8.0, -16.0]]), np.array([-9.0]))
    net.end(net.add("Sigmoid", yellow, output="yellow"))


def landmarks(net: Net) -> None:
    """Five points of the only square, 0..1."""
    total = net.add("Conv", colors(net), net.constant(np.ones((1, 3, 1, 1))))
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
    size = {"keepdims": 0, "axes": [1, 2, 3]} if net.opset < 18 else {"keepdims": 0}
    weighted = net.add("Mul", total, net.constant(np.stack([x, y])[None]))
    sums = net.add("ReduceMean", weighted, keepdims=0, axes=[2, 3])
    mass = net.add("Unsqueeze", net.add("ReduceMean", total, **size), axes=[1])
    middle = net.add("Div", sums, mass)
    points = np.array([[-1, -1], [1, -1], [0, 0], [-1, 1], [1, 1]]) * SQUARE / 2 / SIDE
    weight = net.constant(np.tile(np.eye(2), (1, 5)))
    net.end(net.add("Gemm", middle, weight, net.constant(points.reshape(-1)), output="landmarks"))


def embedding(net: Net) -> None:
    """Where which colour is, through a random layer, of length one."""
    pooled = net.add("AveragePool", colors(net), kernel_shape=[16, 16], strides=[16, 16])
    flat = net.add("Flatten", pooled)
    first = net.rng.normal(0, 1, (3 * (SIDE // 16) ** 2, 64))
    hidden = net.add(
        "Relu", net.add("Gemm", flat, net.constant(first), net.constant(0.1 * first[0]))
    )
    last = net.add("Gemm", hidden, net.constant(net.rng.normal(0, 1, (64, 64))))
    length = net.add("ReduceL2", last, axes=[1], keepdims=1)
    net.end(net.add("Div", last, length, output="embedding"))


# --- reading the outputs again ----------------------------------------------------------------


def _logistic(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(np.asarray(x, np.float64), -60, 60))))


def _peaks(scores: Array, place: Callable[[int, int, int], tuple[float, float, float]]) -> Found:
    """Cells ``[classes, h, w]`` above a half, best first, others within half a square left out."""
    found: Found = []
    order = np.argsort(-scores, axis=None, kind="stable")
    for index in order[: int(np.count_nonzero(scores >= 0.5))]:
        label, row, column = (int(v) for v in np.unravel_index(index, scores.shape))
        x, y, side = place(label, row, column)
        far = (max(abs(x - a), abs(y - b)) > max(side, c) / 2 for k, a, b, c in found if k == label)
        if all(far):
            found.append((label, x, y, side))
    return found


def _merged(parts: Sequence[Found]) -> Found:
    return [item for part in parts for item in part]


def _maps(value: Array, stride: int, channels: int) -> Array:
    side = SIDE // stride
    table = np.asarray(value, np.float64).reshape(side, side, channels)
    return np.asarray(table.transpose(2, 0, 1))


def read_yunet(outputs: Outputs) -> Found:
    """Faces."""
    parts = []
    for stride in STRIDES:
        boxes = _maps(outputs[f"bbox_{stride}"], stride, 4)
        both = [_maps(outputs[f"{n}_{stride}"], stride, 1) for n in ("cls", "obj")]
        score = np.sqrt(np.clip(both[0], 0, 1) * np.clip(both[1], 0, 1))

        def place(_: int, y: int, x: int, b: Array = boxes, s: int = stride) -> Any:
            return (x + b[0, y, x]) * s, (y + b[1, y, x]) * s, np.exp(b[2, y, x]) * s

        parts.append(_peaks(score, place))
    return _merged(parts)


def _means(logits: Array) -> Array:
    """Means of distributions ``[4, bins, h, w]``."""
    power = np.exp(logits - logits.max(axis=1, keepdims=True))
    at = np.arange(logits.shape[1])[None, :, None, None]
    return np.asarray((power * at).sum(axis=1) / power.sum(axis=1))


def _sides(scores: Array, sides: Array, stride: int) -> Found:
    def place(_: int, y: int, x: int) -> tuple[float, float, float]:
        left, top, right, bottom = sides[:, y, x]
        middle = x + 0.5 + (right - left) / 2, y + 0.5 + (bottom - top) / 2
        return middle[0] * stride, middle[1] * stride, (left + right) * stride

    return _peaks(scores, place)


def read_nanodet(outputs: Outputs) -> Found:
    """Squares."""
    parts = []
    for stride in STRIDES:
        scores = _maps(outputs[f"cls_pred_stride_{stride}"], stride, 3)
        logits = _maps(outputs[f"dis_pred_stride_{stride}"], stride, 32)
        parts.append(_sides(scores, _means(logits.reshape(4, 8, *logits.shape[1:])), stride))
    return _merged(parts)


def read_yolov8(outputs: Outputs) -> Found:
    """Squares."""
    parts = []
    for at, stride in enumerate(STRIDES):
        logits = np.asarray(outputs[f"box{at}"][0], np.float64)
        sides = _means(logits.reshape(4, 16, *logits.shape[1:]))
        parts.append(_sides(_logistic(outputs[f"class{at}"][0]), sides, stride))
    return _merged(parts)


def read_ssd(outputs: Outputs) -> Found:
    """Faces, by the first prior of each cell."""
    scores = _logistic(outputs["conf"][0, :, 1] - outputs["conf"][0, :, 0])
    parts, start = [], 0
    for stride, prior in zip(STRIDES, (16, 64, 256), strict=True):
        side = SIDE // stride
        rows = slice(start, start + 2 * side * side, 2)
        start += 2 * side * side
        offsets = outputs["loc"][0, rows].reshape(side, side, 4)

        def place(
            _: int, y: int, x: int, o: Array = offsets, p: int = prior, s: int = stride
        ) -> Any:
            middle = (x + 0.5) * s + o[y, x, 0] * 0.1 * p, (y + 0.5) * s + o[y, x, 1] * 0.1 * p
            return *middle, p * np.exp(0.2 * o[y, x, 2])

        parts.append(_peaks(scores[rows].reshape(1, side, side), place))
    return _merged(parts)


def read_tensorflow(outputs: Outputs) -> Found:
    """Squares."""
    parts, start = [], 0
    for stride in STRIDES:
        side = SIDE // stride
        rows = slice(start, start + side * side)
        start += side * side
        scores = outputs["raw_detection_scores"][0, rows, 1:].T.reshape(3, side, side)
        boxes = outputs["raw_detection_boxes"][0, rows].reshape(side, side, 4) * SIDE

        def place(_: int, y: int, x: int, b: Array = boxes) -> tuple[float, float, float]:
            top, left, bottom, right = b[y, x]
            return (left + right) / 2, (top + bottom) / 2, right - left

        parts.append(_peaks(scores, place))
    return _merged(parts)


def read_blaze(outputs: Outputs) -> Found:
    """Faces, by the first anchor of each cell."""
    parts = []
    for stride, anchors in BLAZE:
        side = SIDE // stride
        scores = _logistic(outputs[f"classificator_{stride}"][0, ::anchors, 0])
        boxes = outputs[f"regressor_{stride}"][0, ::anchors].reshape(side, side, 16)

        def place(
            _: int, y: int, x: int, b: Array = boxes, s: int = stride
        ) -> tuple[float, float, float]:
            return (x + 0.5) * s + b[y, x, 0], (y + 0.5) * s + b[y, x, 1], b[y, x, 2]

        parts.append(_peaks(scores.reshape(1, side, side), place))
    return _merged(parts)


def read_detr(outputs: Outputs) -> Found:
    """Squares."""
    logits = _maps(outputs["pred_logits"], 8, 4)
    boxes = _maps(outputs["pred_boxes"], 8, 4) * SIDE
    power = np.exp(logits - logits.max(axis=0))
    scores = (power / power.sum(axis=0))[:3]
    return _peaks(scores, lambda _, y, x: (boxes[0, y, x], boxes[1, y, x], boxes[2, y, x]))


def agree_on_objects(f: Found, q: Found) -> tuple[float, float]:
    """Twice the objects both have, and all of both: their ratio over the pictures is F1."""
    left, same = list(q), 0
    for label, x, y, side in f:
        for item in left:
            near = max(abs(item[1] - x), abs(item[2] - y)) <= side / 6
            if item[0] == label and near and 0.75 <= item[3] / side <= 1.33:
                left.remove(item)
                same += 1
                break
    return 2.0 * same, float(len(f) + len(q))


def by_objects(
    read: Callable[[Outputs], Found],
) -> Callable[[Outputs, Outputs], tuple[float, float]]:
    """Agreement of one picture by what is found."""
    return lambda f, q: agree_on_objects(read(f), read(q))


def by_class(output: str) -> Callable[[Outputs, Outputs], tuple[float, float]]:
    """Agreement by the best class."""
    return lambda f, q: (float(np.argmax(f[output]) == np.argmax(q[output])), 1.0)


def by_pixels(output: str, axis: int) -> Callable[[Outputs, Outputs], tuple[float, float]]:
    """Mean overlap of the classes that occur."""

    def agreement(f: Outputs, q: Outputs) -> tuple[float, float]:
        a, b = f[output].argmax(axis=axis), q[output].argmax(axis=axis)
        shares = [
            np.sum((a == k) & (b == k)) / np.sum((a == k) | (b == k)) for k in np.union1d(a, b)
        ]
        return float(np.sum(shares)), float(len(shares))

    return agreement


def by_points(f: Outputs, q: Outputs) -> tuple[float, float]:
    """Points within a twentieth of the points' diagonal."""
    a, b = f["landmarks"].reshape(-1, 2), q["landmarks"].reshape(-1, 2)
    near = np.hypot(*(a - b).T) <= 0.05 * np.hypot(*np.ptp(a, axis=0))
    return float(near.sum()), float(len(a))


def by_cosine(f: Outputs, q: Outputs) -> tuple[float, float]:
    """Cosine of the vectors."""
    a, b = f["embedding"].ravel(), q["embedding"].ravel()
    return float(a @ b / np.linalg.norm(a) / max(np.linalg.norm(b), 1e-12)), 1.0


@dataclass(frozen=True)
class Small:
    """A network and how it is judged.

    Attributes:
        name: of the network.
        opset: of its graph.
        build: adds its nodes.
        agreement: of the outputs on one picture: a part and a whole, to be added up.
        objects: squares in its pictures, None for one to three.
        agrees: share from which on the task is the same.
    """

    name: str
    opset: int
    build: Callable[[Net], None]
    agreement: Callable[[Outputs, Outputs], tuple[float, float]]
    objects: int | None = None
    agrees: float = 0.9

    def model(self, seed: int) -> onnx.ModelProto:
        """The float model."""
        net = Net(self.opset, np.random.default_rng(seed))
        self.build(net)
        return net.model()


SMALL = (
    Small("pad_classifier", 11, classifier, by_class("logits"), 1),
    Small("yunet", 13, yunet, by_objects(read_yunet)),
    Small("nanodet", 13, nanodet, by_objects(read_nanodet)),
    Small("yolov8_six", 13, yolov8, by_objects(read_yolov8)),
    Small("ssd_priors", 14, ssd, by_objects(read_ssd)),
    Small("detr", 17, detr, by_objects(read_detr)),
    Small("segment_nhwc", 13, segmentation, by_pixels("classes", 3), None, 0.8),
    Small(
        "segment_quiet", 15, segmentation_with_a_quiet_branch, by_pixels("classes", 1), None, 0.8
    ),
    Small("segment_resize", 13, segmentation_enlarged, by_pixels("classes", 1), None, 0.8),
    Small("ssd_tensorflow", 13, ssd_tensorflow, by_objects(read_tensorflow)),
    Small("blaze_levels", 13, blaze, by_objects(read_blaze)),
    Small("landmarks", 11, landmarks, by_points, 1),
    Small("embedding", 13, embedding, by_cosine, None, 0.95),
)
