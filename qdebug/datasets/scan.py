"""A look at every picture's header before the long work begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from qdebug.datasets.dataset import BoxTruth, Dataset, LabelledPicture
from qdebug.datasets.files import listed
from qdebug.errors import InputError
from qdebug.vocabulary.numbers import plural

_ROTATED = {5, 6, 7, 8}
"""EXIF orientations that exchange width and height."""
_ORIENTATION = 0x0112


def scan(dataset: Dataset, *, skip_broken: bool = False) -> Dataset:
    """Check that every picture can be opened, and bring boxes to pixels.

    Args:
        dataset: as read.
        skip_broken: leave broken pictures out instead of refusing the data set.

    Returns:
        The data set without the broken pictures, its notes naming them.

    Raises:
        InputError: pictures are broken and not to be left out, or none is left.
    """
    good: list[LabelledPicture] = []
    broken: list[str] = []
    for picture, size in _sizes(dataset.pictures):
        if size is None:
            broken.append(picture.name)
            continue
        truth = picture.truth
        placed = truth.in_pixels(*size) if isinstance(truth, BoxTruth) else truth
        good.append(dataclasses.replace(picture, truth=placed))
    if broken and not skip_broken:
        raise InputError(
            f"{dataset.name}: {plural(len(broken), 'picture')} of {len(dataset.pictures)} cannot "
            f"be read: {listed(broken)}",
            "--skip-broken leaves them out",
        )
    if not good:
        raise InputError(f"{dataset.name}: no picture can be read")
    notes = list(dataset.notes)
    if broken:
        notes.append(f"{plural(len(broken), 'broken picture')} left out: {listed(broken)}")
    return dataclasses.replace(dataset, pictures=tuple(good), notes=tuple(notes))


def _sizes(
    pictures: tuple[LabelledPicture, ...],
) -> Iterator[tuple[LabelledPicture, tuple[int, int] | None]]:
    for picture in pictures:
        yield picture, picture_size(picture.path)


def picture_size(path: Path) -> tuple[int, int] | None:
    """Width and height as the picture is seen; None where its header is no picture's."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION, 1) in _ROTATED
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return (height, width) if turned else (width, height)


def most_classes(dataset: Dataset) -> int:
    """The highest class number of any label, plus one; 0 where labels are no numbers."""
    highest = -1
    for picture in dataset.pictures:
        if isinstance(picture.truth, BoxTruth):
            highest = max(highest, int(np.max(picture.truth.classes, initial=-1)))
        elif isinstance(picture.truth, int):
            highest = max(highest, picture.truth)
    return highest + 1
