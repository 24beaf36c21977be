"""Where a program may put a box: the right place, and where the usual mistakes put it.

A box goes through three hands: the decoding makes pixels of the model's input, the geometry is
undone, the file is written. Each hand has its mistakes; two hands may both have made one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.boxes import from_centers
from qdebug.analysis.tasks.head import Cells, Parts
from qdebug.analysis.tasks.raw_heads import ANCHORS
from qdebug.preprocess.geometry import Geometry

Array = npt.NDArray[Any]
Boxes = npt.NDArray[np.float64]
RIGHT = "right"
_Table = Mapping[int, Sequence[tuple[int, int]]]


@dataclass(frozen=True)
class Hand:
    """One way to do one step.

    Attributes:
        name: of the mistake, ``right`` for none.
        words: what was done.
        advice: what to do instead.
        make: the boxes ``[n, 4]`` behind the step and how long a unit of the picture is there; None
            where the step cannot be done so.
        remark: whether it may be no mistake.
    """

    name: str
    words: str
    advice: str
    make: Callable[[Boxes, Parts, Geometry], tuple[Boxes, float | Array] | None]
    remark: bool = False


@dataclass(frozen=True)
class Place:
    """One way from candidates to the numbers of a file."""

    decode: Hand
    undo: Hand
    write: Hand

    @property
    def mistakes(self) -> tuple[Hand, ...]:
        """The steps that are not right."""
        return tuple(h for h in (self.decode, self.undo, self.write) if h.name != RIGHT)

    def boxes(self, parts: Parts, geometry: Geometry) -> tuple[Boxes, Boxes] | None:
        """Boxes ``[n, 4]`` as the file's readers see them, and the length of a box's side.

        Sides are the geometric mean of the right box's, in the units of the result.
        """
        corners = np.asarray(parts.corners, np.float64)
        side = np.sqrt(np.abs((corners[:, 2:] - corners[:, :2]).prod(axis=1)))
        for hand in (self.decode, self.undo, self.write):
            made = hand.make(corners, parts, geometry)
            if made is None:
                return None
            corners, unit = made
            side = side * unit
        return corners, np.maximum(side, 1e-9)


def places(cells: Cells | None) -> Iterator[Place]:
    """Every way: the right one, those of one mistake, those of two."""
    decodes = [_AS_IS, *_DECODES, *(_grid(cells) if cells is not None else ())]
    yield Place(_AS_IS, UNDONE, _AS_WRITTEN)
    yield from (Place(hand, UNDONE, _AS_WRITTEN) for hand in decodes[1:])
    yield from (Place(_AS_IS, hand, _AS_WRITTEN) for hand in _UNDOES)
    yield from (Place(_AS_IS, UNDONE, hand) for hand in _WRITES)
    yield from (Place(one, two, _AS_WRITTEN) for one in decodes[1:] for two in _UNDOES)
    yield from (Place(_AS_IS, one, two) for one in _UNDOES for two in _WRITES)


def _sizes(corners: Boxes) -> tuple[Boxes, Boxes]:
    return (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]


def _centers_as_corners(corners: Boxes, *_: object) -> tuple[Boxes, float]:
    return np.concatenate(_sizes(corners), axis=1), 1.0


def _center_as_corner(corners: Boxes, *_: object) -> tuple[Boxes, float]:
    center, size = _sizes(corners)
    return np.concatenate([center, center + size], axis=1), 1.0


def _corner_as_center(corners: Boxes, *_: object) -> tuple[Boxes, float]:
    half = _sizes(corners)[1] / 2
    return np.concatenate([corners[:, :2] - half, corners[:, :2] + half], axis=1), 1.0


def _corners_as_centers(corners: Boxes, *_: object) -> tuple[Boxes, float]:
    return from_centers(corners), 1.0


def _swapped(corners: Boxes, *_: object) -> tuple[Boxes, float]:
    return corners[:, [1, 0, 3, 2]], 1.0


def _of_input(corners: Boxes, _: Parts, geometry: Geometry) -> tuple[Boxes, float]:
    width, height = geometry.target
    scaled = corners / np.array([width, height, width, height], np.float64)
    return scaled, 1 / float(np.sqrt(width * height))


def _same(corners: Boxes, *_: object) -> tuple[Boxes, float]:
    return corners, 1.0


_AS_IS = Hand(RIGHT, "", "", _same)
_AS_WRITTEN = Hand(RIGHT, "", "", _same)
_DECODES = (
    Hand(
        "centre-as-corners",
        "centre and size are taken for two corners",
        "Take x - w / 2, y - h / 2, x + w / 2, y + h / 2 for the corners.",
        _centers_as_corners,
    ),
    Hand(
        "centre-as-corner",
        "the centre is taken for the upper left corner",
        "Subtract half the size from the centre.",
        _center_as_corner,
    ),
    Hand(
        "corner-as-centre",
        "the upper left corner is taken for the centre",
        "Do not subtract half the size from a corner.",
        _corner_as_center,
    ),
    Hand(
        "corners-as-centre",
        "two corners are taken for centre and size",
        "The four numbers are x1, y1, x2, y2: use them as they are.",
        _corners_as_centers,
    ),
    Hand(
        "axes-swapped",
        "x and y are exchanged",
        "Read x before y.",
        _swapped,
    ),
)


def _grid(cells: Cells) -> Iterator[Hand]:
    """Mistakes of the decoding from cells."""
    strides = tuple(np.unique(cells.strides).tolist())
    for sign, words in ((0.5, "added"), (-0.5, "subtracted")):
        yield Hand(
            f"half-cell-{words}",
            f"half a cell is {words}",
            "Count the cell as the model was trained: see its own decoder.",
            _Moved(sign),
        )
    yield Hand(
        "stride-missing",
        "the strides are not multiplied",
        "Multiply by the level's stride.",
        _Strides(()),
    )
    if len(strides) > 1:
        yield Hand(
            "strides-reversed",
            "the levels have each other's strides: they are read in the opposite order",
            "Pair each output with its own stride, by its size.",
            _Strides(strides[::-1], strides),
        )
        for stride in strides:
            yield Hand(
                f"stride-{stride:g}-everywhere",
                f"every level is read with the stride {stride:g}",
                "Pair each output with its own stride, by its size.",
                _Strides((stride,) * len(strides), strides),
            )
    if cells.anchors is not None:
        yield Hand(
            "anchors-reversed",
            "the levels have each other's anchors: they are taken in the opposite order",
            "Pair each output with the anchors of its own stride.",
            _Anchors(dict(zip(ANCHORS, reversed(ANCHORS.values()), strict=True))),
        )
        for name, (words, table) in _OTHER_ANCHORS.items():
            yield Hand(
                f"anchors-{name}",
                f"the anchors are those of {words}",
                ANCHORS_ADVICE,
                _Anchors(table),
                remark=cells.assumed,
            )


ANCHORS_ADVICE = "Take the anchors of this model, from its configuration or its graph."
_OTHER_ANCHORS: dict[str, tuple[str, _Table]] = {
    "yolov5-p6": (
        "YOLOv5's and YOLOv7's models for 1280 pixels (P6)",
        {
            8: [(19, 27), (44, 40), (38, 94)],
            16: [(96, 68), (86, 152), (180, 137)],
            32: [(140, 301), (303, 264), (238, 542)],
        },
    ),
    "yolov4": (
        "YOLOv4 and YOLOv7",
        {
            8: [(12, 16), (19, 36), (40, 28)],
            16: [(36, 75), (76, 55), (72, 146)],
            32: [(142, 110), (192, 243), (459, 401)],
        },
    ),
}
"""As `ANCHORS`; from the configurations in the models' repositories."""


@dataclass(frozen=True)
class _Moved:
    cells: float

    def __call__(self, corners: Boxes, parts: Parts, _: Geometry) -> tuple[Boxes, float] | None:
        if parts.cells is None:
            return None
        return corners + self.cells * parts.cells.strides[:, None], 1.0


@dataclass(frozen=True)
class _Strides:
    used: tuple[float, ...]
    own: tuple[float, ...] = ()

    def __call__(
        self, corners: Boxes, parts: Parts, _: Geometry
    ) -> tuple[Boxes, npt.NDArray[np.float64]] | None:
        if parts.cells is None:
            return None
        strides = parts.cells.strides
        used = dict(zip(self.own, self.used, strict=True)) if self.own else {}
        factor = np.array([used.get(s, 1.0) for s in strides.tolist()]) / strides
        if parts.cells.anchors is None or not self.own:
            return corners * factor[:, None], factor
        center, size = _sizes(corners)  # anchors are in pixels: only the places move
        moved = center * factor[:, None]
        return np.concatenate([moved - size / 2, moved + size / 2], axis=1), np.ones(len(factor))


@dataclass(frozen=True)
class _Anchors:
    """Sizes by the anchors of a table, place by place those of the head's own one."""

    table: _Table

    def __call__(self, corners: Boxes, parts: Parts, _: Geometry) -> tuple[Boxes, float] | None:
        if parts.cells is None or parts.cells.anchors is None:
            return None
        strides, anchors = parts.cells.strides, parts.cells.anchors
        used = anchors.copy()
        for stride, own in ANCHORS.items():
            for one, other in zip(own, self.table[stride], strict=True):
                used[(strides == stride) & (anchors == one).all(axis=1)] = other
        center, size = _sizes(corners)
        size = size * used / anchors
        return np.concatenate([center - size / 2, center + size / 2], axis=1), 1.0


def _affine(scale: tuple[float, float], offset: tuple[float, float]) -> Any:
    """``(x - offset) / scale`` of both corners, and the unit."""

    def move(corners: Boxes) -> tuple[Boxes, float]:
        unit = 1 / float(np.sqrt(abs(scale[0] * scale[1])))
        return (corners - (*offset, *offset)) / (*scale, *scale), unit

    return move


def _undone(corners: Boxes, _: Parts, geometry: Geometry) -> tuple[Boxes, float]:
    scale = float(np.sqrt(np.prod(geometry.scale)))
    return geometry.to_source(corners, clip=False), 1 / scale


def _offset_left(corners: Boxes, _: Parts, geometry: Geometry) -> tuple[Boxes, float] | None:
    if not any(geometry.offset):
        return None
    found: tuple[Boxes, float] = _affine(geometry.scale, (0.0, 0.0))(corners)
    return found


def _scale_left(corners: Boxes, _: Parts, geometry: Geometry) -> tuple[Boxes, float] | None:
    if not any(geometry.offset):
        return None
    return corners - (*geometry.offset, *geometry.offset), 1.0


def _stretched(corners: Boxes, _: Parts, geometry: Geometry) -> tuple[Boxes, float]:
    (sw, sh), (tw, th) = geometry.source, geometry.target
    found: tuple[Boxes, float] = _affine((tw / sw, th / sh), (0.0, 0.0))(corners)
    return found


def _centred(corners: Boxes, _: Parts, geometry: Geometry) -> tuple[Boxes, float]:
    (sw, sh), (tw, th) = geometry.source, geometry.target
    ratio = min(tw / sw, th / sh)
    offset = (tw - sw * ratio) / 2, (th - sh * ratio) / 2
    found: tuple[Boxes, float] = _affine((ratio, ratio), offset)(corners)
    return found


def _at_corner(corners: Boxes, _: Parts, geometry: Geometry) -> tuple[Boxes, float]:
    (sw, sh), (tw, th) = geometry.source, geometry.target
    ratio = min(tw / sw, th / sh)
    found: tuple[Boxes, float] = _affine((ratio, ratio), (0.0, 0.0))(corners)
    return found


def _offsets_swapped(corners: Boxes, _: Parts, geometry: Geometry) -> tuple[Boxes, float] | None:
    x, y = geometry.offset
    if x == y:
        return None
    found: tuple[Boxes, float] = _affine(geometry.scale, (y, x))(corners)
    return found


UNDONE = Hand(RIGHT, "", "", _undone)
_UNDOES = (
    Hand(
        "not-undone",
        "boxes stay in pixels of the model's input: the geometry is not undone",
        "Subtract the padding, then divide by the scale.",
        _same,
    ),
    Hand(
        "padding-left",
        "the padding of the letterbox is not subtracted",
        "Subtract the padding before dividing by the scale.",
        _offset_left,
    ),
    Hand(
        "scale-left",
        "the scale is not divided out: only the padding is subtracted",
        "Divide by the scale after subtracting the padding.",
        _scale_left,
    ),
    Hand(
        "stretch-undone",
        "a stretch is undone where the picture was letterboxed",
        "Divide both axes by the one scale of the letterbox, after subtracting the padding.",
        _stretched,
    ),
    Hand(
        "letterbox-undone",
        "a centred letterbox is undone where the pipeline has none",
        "Undo what the pipeline does: each axis has its own scale, or the padding another place.",
        _centred,
    ),
    Hand(
        "corner-letterbox-undone",
        "a letterbox at the upper left is undone where the pipeline has none",
        "Undo what the pipeline does: each axis has its own scale, or the padding another place.",
        _at_corner,
    ),
    Hand(
        "relative-to-input",
        "boxes stay in shares of the model's input: the geometry is not undone",
        "Multiply by the input's size, subtract the padding, then divide by the scale.",
        _of_input,
    ),
    Hand(
        "paddings-swapped",
        "the paddings of x and y are exchanged",
        "Subtract the left padding from x and the upper one from y.",
        _offsets_swapped,
    ),
)


def _corners_written(corners: Boxes, *_: object) -> tuple[Boxes, float]:
    return np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]], axis=1), 1.0


def _relative(corners: Boxes, _: Parts, geometry: Geometry) -> tuple[Boxes, float]:
    width, height = geometry.source
    scaled = corners / np.array([width, height, width, height], np.float64)
    return scaled, 1 / float(np.sqrt(width * height))


_WRITES = (
    Hand(
        "corners-written",
        "x2, y2 are written where width and height belong",
        "Write x, y, width, height.",
        _corners_written,
    ),
    Hand(
        "relative-written",
        "shares of the picture are written where pixels belong",
        "Multiply by the picture's width and height.",
        _relative,
    ),
)
