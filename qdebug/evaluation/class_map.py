"""Which class of the labels a class of the head is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks import class_names
from qdebug.datasets import Dataset
from qdebug.datasets.scan import most_classes
from qdebug.errors import InputError

_COCO_IDS = 90
"""The highest of COCO's category ids, of which 80 are used."""


@dataclass(frozen=True)
class ClassMap:
    """From the classes of a detector's head to those of the labels.

    Attributes:
        numbers: int64 ``[classes of the head]``, class of the labels, -1 where they have none.
        notes: how it was found where that is not plain.
    """

    numbers: npt.NDArray[np.int64]
    notes: tuple[str, ...] = ()

    def apply(self, found: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Boxes ``[n, 6]`` with classes of the labels; those without one are left out."""
        classes = self.numbers[found[:, 5].astype(np.int64)]
        known = classes >= 0
        return np.concatenate([found[known, :5], classes[known, None]], axis=1)


def map_classes(
    dataset: Dataset, head: int, metadata: Mapping[str, str], offset: int = 0
) -> ClassMap:
    """Find the map of a detector: by names where both have them, else by number.

    Args:
        dataset: the labels.
        head: classes of the head.
        metadata: of the model, which may name its classes.
        offset: class of the head that the labels' class 0 is.

    Raises:
        InputError: the labels have classes that the head has not.
    """
    named = class_names(metadata)
    names = [named.get(at, "") for at in range(head)]
    if dataset.classes and all(names) and not offset:
        by_name = _by_name(dataset.classes, names)
        if by_name is not None:
            return by_name
    _check_count(dataset, head - offset)
    numbers = np.arange(head, dtype=np.int64) - offset
    classes = len(dataset.classes) or most_classes(dataset)
    notes: tuple[str, ...] = ()
    if dataset.classes and classes != head - offset:
        notes = (f"the labels name {classes} classes, the head has {head}: taken by number",)
    return ClassMap(np.where(numbers < 0, -1, numbers), notes)


def _by_name(labels: Sequence[str], head: Sequence[str]) -> ClassMap | None:
    """The map by equal names; None where few of them are equal."""
    place = {_plain(name): at for at, name in enumerate(labels)}
    numbers = np.array([place.get(_plain(name), -1) for name in head], np.int64)
    hits = int(np.count_nonzero(numbers >= 0))
    if hits < min(len(labels), len(head)):
        if hits * 2 < min(len(labels), len(head)):
            return None
        without = [name for name, at in zip(head, numbers, strict=True) if at < 0]
        note = f"{len(without)} classes of the head are not in the labels: {', '.join(without[:3])}"
        return ClassMap(numbers, (note,))
    if np.array_equal(numbers, np.arange(len(head))):
        return ClassMap(numbers)
    return ClassMap(numbers, ("classes are told by their names: the numbers differ",))


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def check_labels(dataset: Dataset, head: int, offset: int = 0) -> None:
    """Refuse labels of a classifier beyond its classes.

    Raises:
        InputError: there are some.
    """
    _check_count(dataset, head - offset)


def _check_count(dataset: Dataset, head: int) -> None:
    most = most_classes(dataset)
    if most <= head:
        return
    hint = "give the labels' numbers as the head counts, from 0"
    if dataset.task == "detection" and head == 80 and most <= _COCO_IDS + 1:
        hint = "these look like COCO's category ids 1..90; the head counts 0..79"
    raise InputError(
        f"{dataset.name} has labels up to class {most - 1}, the head has {head} classes", hint
    )
