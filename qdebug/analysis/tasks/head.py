"""What a detector's head is: how boxes, scores and points are read out of the outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.boxes import OVERLAP, Best
from qdebug.analysis.tasks.grids import sigmoid, softmax
from qdebug.analysis.tasks.task import Outputs

Array = npt.NDArray[Any]
Candidates = tuple[Array, Array]
"""Corners ``[n, 4]`` in pixels of the input, and scores ``[n, classes]``."""
Activation = Literal["none", "sigmoid", "softmax"]


@dataclass(frozen=True)
class Cells:
    """Where on the pyramid each candidate stands.

    Attributes:
        strides: float64 ``[n]``, pixels a cell.
        anchors: float64 ``[n, 2]``, width and height in pixels; None where the head has none.
        assumed: whether sizes are made of the anchors here, and the model may have others.
    """

    strides: npt.NDArray[np.float64]
    anchors: npt.NDArray[np.float64] | None = None
    assumed: bool = False

    def take(self, rows: Array) -> Cells:
        """Some of them."""
        anchors = self.anchors[rows] if self.anchors is not None else None
        return Cells(self.strides[rows], anchors, self.assumed)


@dataclass(frozen=True)
class Parts:
    """A detector's candidates, with the parts of their scores as the outputs hold them.

    Attributes:
        corners: ``[n, 4]`` in pixels of the input.
        classes: ``[n, columns]``.
        objectness: ``[n, 1]``; None where the classes are all.
        activation: what makes probabilities of both.
        background: the column of ``classes`` that is no class.
        mean: the score is the geometric mean of both, not their product.
        cells: where each stands; None where the outputs do not tell.
    """

    corners: Array
    classes: Array
    objectness: Array | None = None
    activation: Activation = "none"
    background: int | None = None
    mean: bool = False
    cells: Cells | None = None

    def probabilities(self) -> npt.NDArray[np.float64]:
        """Those of the classes, without the background and without objectness."""
        found = np.asarray(self.classes, np.float64)
        if self.activation == "softmax":
            found = softmax(found, axis=1)
        elif self.activation == "sigmoid":
            found = sigmoid(found)
        return found if self.background is None else np.delete(found, self.background, axis=1)

    def objects(self) -> npt.NDArray[np.float64] | None:
        """Probabilities ``[n, 1]`` that there is an object."""
        if self.objectness is None:
            return None
        found = np.asarray(self.objectness, np.float64)
        return sigmoid(found) if self.activation != "none" else found

    def scores(self) -> npt.NDArray[np.float64]:
        """What the candidates are ranked by, ``[n, classes]``."""
        objects = self.objects()
        if objects is None:
            return self.probabilities()
        is_plain = self.activation == "none" and self.background is None
        classes = self.classes if is_plain else self.probabilities()  # no copy of what is large
        product = np.multiply(classes, objects, dtype=np.float64)
        return np.sqrt(np.clip(product, 0, None)) if self.mean else product

    def best(self) -> Best:
        """The best class of every candidate, by ``scores``."""
        is_product = self.activation == "none" and self.background is None and not self.mean
        if is_product and self.objectness is not None:
            found = Best.of_product(self.classes, self.objectness)
            if found is not None:
                return found
        return Best.of(self.scores())

    def take(self, rows: Array) -> Parts:
        """Some of the candidates."""
        return Parts(
            self.corners[rows],
            self.classes[rows],
            self.objectness[rows] if self.objectness is not None else None,
            self.activation,
            self.background,
            self.mean,
            self.cells.take(rows) if self.cells is not None else None,
        )


Reader = Callable[[Outputs], Parts]


@dataclass(frozen=True)
class Head:
    """A way to read boxes out of the outputs.

    Attributes:
        form: for people.
        parts: outputs of one sample to candidates, before threshold and suppression.
        reads: names of the outputs it reads.
        overlap: for suppression; 1 where the model has suppressed overlapping boxes itself.
        points: outputs of one sample to the landmarks of every candidate, float64 ``[n, k, 2]`` in
            pixels of the input; None where there are none.
        assumed: what nothing in the outputs confirms; empty where all is known.
        drawable: whether the corners are places in the picture.
        any_length: the number of rows depends on the picture.
        misread: what boards make of such outputs by mistake, by the name of the mistake
            (``qdebug.reading``).
    """

    form: str
    parts: Reader
    reads: tuple[str, ...] = ()
    overlap: float = OVERLAP
    points: Callable[[Outputs], Array] | None = None
    assumed: str = ""
    drawable: bool = True
    any_length: bool = False
    misread: Mapping[str, Reader] = field(default_factory=dict)

    def decode(self, outputs: Outputs) -> Candidates:
        """Corners and scores of the candidates."""
        parts = self.parts(outputs)
        return parts.corners, parts.scores()


def corners_from_sides(centers: Array, sides: Array) -> npt.NDArray[np.float64]:
    """Corners from a centre ``[n, 2]`` and distances to left, top, right, bottom ``[n, 4]``."""
    low, high = centers - sides[:, :2], centers + sides[:, 2:4]
    return np.concatenate([low, high], axis=1)
