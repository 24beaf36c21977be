"""Files of data sets, read with one sentence for whatever is wrong with them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence, Sized
from pathlib import Path
from typing import Any

from qdebug import bounds
from qdebug.datasets.dataset import LabelledPicture
from qdebug.errors import InputError
from qdebug.preprocess.arguments import natural_key
from qdebug.preprocess.decode import IMAGE_SUFFIXES

_SHOWN = 3
"""Names that a sentence lists."""


def read_text(file: Path) -> str:
    """A text file, UTF-8.

    Raises:
        InputError: it cannot be read, or is no UTF-8.
    """
    try:
        return bounds.read_text(file, InputError, "utf-8-sig")
    except OSError as error:
        raise InputError(f"{file.name} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file.name} is not UTF-8 text", "labels are text or JSON in UTF-8"
        ) from error


def read_json(file: Path) -> Any:
    """A JSON file.

    Raises:
        InputError: it is no JSON.
    """
    try:
        return json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file.name} is not valid JSON: {error}", "export it again") from error


def pictures_below(folder: Path) -> list[Path]:
    """Picture files of a folder and its sub-folders, in natural order."""
    found = (
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )
    return sorted(found, key=natural_key)


def listed(names: Sequence[str]) -> str:
    """``a, b, c and 5 more``."""
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def check_some(pictures: Sized, where: str) -> None:
    """Refuse a data set without a single picture.

    Raises:
        InputError: there is none.
    """
    if not len(pictures):
        raise InputError(f"{where} holds no picture with a label", "see qdebug evaluate --help")


def missing(names: Sequence[str], total: int, where: str, folder: str) -> InputError:
    """Labels of pictures that are not there."""
    return InputError(
        f"{where}: {len(names)} of {total} pictures are not there: {listed(names)}",
        f"looked in {folder}; give the folder of the pictures with --images",
    )


def repeated(names: Iterable[str]) -> list[str]:
    """What occurs more than once, in order."""
    return [name for name, count in Counter(names).items() if count > 1]


def located(
    file: Path, labels: Sequence[tuple[str, int | str]], folders: Sequence[Path]
) -> tuple[LabelledPicture, ...]:
    """The pictures that a list of labels names.

    Args:
        file: the list.
        labels: names of pictures with their labels.
        folders: where the pictures may be, the first one that has a picture counts.

    Raises:
        InputError: a picture is listed twice, or is not there.
    """
    twice = repeated(name for name, _ in labels)
    if twice:
        raise InputError(f"{file.name} lists {twice[0]} twice", "one line for each picture")
    places = {
        name: next((f / name for f in folders if (f / name).is_file()), None) for name, _ in labels
    }
    lacking = [name for name, place in places.items() if place is None]
    if lacking:
        raise missing(lacking, len(labels), file.name, str(folders[0]))
    return tuple(
        LabelledPicture(name, place, label)
        for name, label in labels
        if (place := places[name]) is not None
    )
