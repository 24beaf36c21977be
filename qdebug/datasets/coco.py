"""COCO's annotations: one JSON with ``images``, ``annotations`` and ``categories``.

Form: https://cocodataset.org/#format-data. ``bbox`` is x, y, width, height in pixels.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qdebug.datasets.dataset import BoxTruth, Dataset, LabelledPicture
from qdebug.datasets.files import check_some, listed, missing, read_json, repeated
from qdebug.errors import InputError
from qdebug.vocabulary.numbers import plural

FORM = "COCO JSON"
_KEYS = ("images", "annotations", "categories")


def is_coco(value: Any) -> bool:
    """Whether a JSON value has the form."""
    return isinstance(value, dict) and all(isinstance(value.get(key), list) for key in _KEYS)


def read_coco(file: Path, images: Path | None = None) -> Dataset:
    """Read annotations and find their pictures.

    Args:
        file: the JSON.
        images: folder of the pictures; looked for around the file by default.

    Raises:
        InputError: the form is not kept, or pictures are not there.
    """
    value = read_json(file)
    if not is_coco(value):
        raise InputError(
            f"{file.name} is not COCO's form: it needs the lists {', '.join(_KEYS)}",
            "predictions of a board are given as a MODEL, not as --data",
        )
    return _Reader(file, value).dataset(images)


class _Reader:
    """One file on its way."""

    def __init__(self, file: Path, value: Mapping[str, Any]) -> None:
        self.file = file
        self.images = [self._checked(item, "images", "id", "file_name") for item in value["images"]]
        self.annotations = [
            self._checked(item, "annotations", "image_id", "category_id", "bbox")
            for item in value["annotations"]
        ]
        categories = [self._checked(item, "categories", "id") for item in value["categories"]]
        self.categories = sorted(categories, key=lambda item: self._whole(item["id"]))
        self.notes: list[str] = []

    def dataset(self, images: Path | None) -> Dataset:
        """All pictures with their boxes."""
        check_some(self.images, self.file.name)
        self._check_ids()
        places = self._places(images)
        boxes = self._boxes()
        pictures = tuple(
            LabelledPicture(
                str(image["file_name"]),
                places[str(image["file_name"])],
                boxes[self._whole(image["id"])],
                str(image["id"]),
            )
            for image in self.images
        )
        empty = sum(not len(found) for found in boxes.values())
        if empty:
            self.notes.append(f"{plural(empty, 'picture')} of {len(pictures)} without any object")
        return Dataset(
            self.file.name,
            FORM,
            "detection",
            pictures,
            tuple(str(item.get("name", item["id"])) for item in self.categories),
            tuple(self._whole(item["id"]) for item in self.categories),
            tuple(self.notes),
        )

    def _checked(self, item: Any, where: str, *keys: str) -> Mapping[str, Any]:
        lacking = [key for key in keys if not isinstance(item, dict) or key not in item]
        if lacking:
            raise InputError(f"{self.file.name}: an entry of {where} has no {lacking[0]!r}")
        return dict(item)

    def _whole(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise InputError(f"{self.file.name}: id {str(value)[:40]!r} is not a whole number")
        return value

    def _check_ids(self) -> None:
        for what, items in (("image", self.images), ("category", self.categories)):
            twice = repeated(str(item["id"]) for item in items)
            if twice:
                raise InputError(f"{self.file.name}: {what} id {listed(twice)} occurs twice")
        names = repeated(str(item["file_name"]) for item in self.images)
        if names:
            raise InputError(
                f"{self.file.name}: picture {listed(names)} is listed twice",
                "one entry of 'images' for each picture",
            )

    def _places(self, images: Path | None) -> dict[str, Path]:
        names = [str(image["file_name"]) for image in self.images]
        folders = [images] if images is not None else self._folders()
        best: dict[str, Path] = {}
        for folder in folders:
            found = {name: folder / name for name in names if (folder / name).is_file()}
            best = max(best, found, key=len)
        lacking = [name for name in names if name not in best]
        if lacking:
            where = ", ".join(str(folder) for folder in folders[:3])
            raise missing(lacking, len(names), self.file.name, where)
        return best

    def _folders(self) -> list[Path]:
        """Where the pictures of ``annotations/instances_val2017.json`` usually are."""
        here = self.file.parent
        split = self.file.stem.rpartition("_")[2]
        return [here / "images", here, here.parent / "images", here.parent / split, here / split]

    def _boxes(self) -> dict[int, BoxTruth]:
        rows: dict[int, list[tuple[list[float], int, bool, float]]] = {
            self._whole(image["id"]): [] for image in self.images
        }
        sizes = {image["id"]: (image.get("width"), image.get("height")) for image in self.images}
        place = {self._whole(item["id"]): at for at, item in enumerate(self.categories)}
        odd: Counter[str] = Counter()
        for item in self.annotations:
            image, category = self._whole(item["image_id"]), self._whole(item["category_id"])
            if category not in place:
                raise InputError(
                    f"{self.file.name}: category_id {category} is not among its categories",
                    "category ids are those of the list 'categories', not numbers from 0",
                )
            if image not in rows:
                odd["of pictures that it does not list, left out"] += 1
                continue
            corners = self._corners(item["bbox"])
            if corners[0] >= corners[2] or corners[1] >= corners[3]:
                odd["without an area"] += 1
            elif _is_outside(corners, sizes[image]):
                odd["outside the picture"] += 1
            area = item.get("area")
            rows[image].append(
                (
                    corners,
                    place[category],
                    bool(item.get("iscrowd", 0)),
                    float(area) if isinstance(area, (int, float)) else math.nan,
                )
            )
        self.notes += [f"{plural(n, 'box', 'boxes')} {what}" for what, n in odd.items()]
        return {image: _truth(found) for image, found in rows.items()}

    def _corners(self, box: Any) -> list[float]:
        try:
            x, y, width, height = (float(value) for value in box)
        except (TypeError, ValueError):
            x = y = width = height = math.nan
        if not all(map(math.isfinite, (x, y, width, height))):
            raise InputError(
                f"{self.file.name}: bbox {str(box)[:60]} is not four numbers",
                "a bbox is x, y, width, height in pixels",
            )
        return [x, y, x + width, y + height]


def _is_outside(corners: Sequence[float], size: tuple[Any, Any]) -> bool:
    width, height = (v if isinstance(v, (int, float)) else math.inf for v in size)
    return corners[0] >= width or corners[1] >= height or corners[2] <= 0 or corners[3] <= 0


def _truth(rows: Sequence[tuple[list[float], int, bool, float]]) -> BoxTruth:
    return BoxTruth(
        np.array([row[0] for row in rows], np.float64).reshape(-1, 4),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.bool_),
        np.array([row[3] for row in rows], np.float64),
    )
