"""What a labelled data set is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class BoxTruth:
    """The objects on one picture.

    Attributes:
        xyxy: float64 ``[n, 4]``, corners in pixels of the picture, or in 0..1 of it where
            ``relative``.
        classes: int64 ``[n]``, index into ``Dataset.classes``, from 0.
        crowd: bool ``[n]``, a group of objects that no single box has to find (COCO's
            ``iscrowd``).
        area: float64 ``[n]``, square pixels as annotated; NaN where that of the box is meant.
        relative: whether the corners are shares of the picture's width and height.
    """

    xyxy: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    crowd: npt.NDArray[np.bool_]
    area: npt.NDArray[np.float64]
    relative: bool = False

    def __len__(self) -> int:
        return len(self.classes)

    def in_pixels(self, width: int, height: int) -> BoxTruth:
        """The same with corners in pixels of the picture."""
        if not self.relative:
            return self
        xyxy = self.xyxy * np.array([width, height, width, height], np.float64)
        return BoxTruth(xyxy, self.classes, self.crowd, self.area)


@dataclass(frozen=True)
class LabelledPicture:
    """One picture and its labels.

    Attributes:
        name: unique in the data set, as its labels spell it.
        path: of the picture's file.
        truth: by task: ``BoxTruth``, the number of a class, a text, or the file of a mask.
        key: how predictions of other programs name it: COCO's image id; empty where only the file
            name does.
    """

    name: str
    path: Path
    truth: BoxTruth | int | str | Path
    key: str = ""


@dataclass(frozen=True)
class Dataset:
    """A labelled data set.

    Attributes:
        name: of its file or folder.
        form: for people: ``COCO JSON``.
        task: ``detection``, ``classification``, ``text`` or ``segmentation``.
        pictures: in the order of the labels.
        classes: their names by class number; empty where it names none.
        category_ids: COCO's id of each class; empty for other forms.
        notes: what was odd, one sentence each.
    """

    name: str
    form: str
    task: str
    pictures: tuple[LabelledPicture, ...]
    classes: tuple[str, ...] = ()
    category_ids: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
