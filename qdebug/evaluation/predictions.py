"""What another program found on the pictures: COCO results, or a class a file."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qdebug.datasets import Dataset
from qdebug.datasets.files import listed, read_json, read_text
from qdebug.errors import InputError
from qdebug.preprocess.decode import IMAGE_SUFFIXES
from qdebug.vendors.quant_files import is_table
from qdebug.vocabulary.numbers import plural

SUFFIXES = (".json", ".csv", ".txt", ".tsv")
_RESULT_KEYS = ("image_id", "category_id", "bbox", "score")


def are_predictions(path: Path) -> bool:
    """Whether a MODEL is a file of predictions, or a folder that holds one.

    JSON and text may also say how a toolchain quantizes, which is a model: only what has the form
    of predictions is taken for them.
    """
    if path.is_dir():
        return True
    suffix = path.suffix.lower()
    if path.is_file() and suffix in SUFFIXES and is_table(path) and not _names_pictures(path):
        return False
    if suffix == ".json" and path.is_file():
        return _are_results(read_json(path))
    return suffix in SUFFIXES


def _names_pictures(path: Path) -> bool:
    """Whether the first row speaks of a picture: a table of name and number may be either."""
    first = next((line for line in read_text(path).splitlines() if line.strip()), "")
    words = first.replace(",", " ").split()
    return bool(words) and Path(words[0].strip('"')).suffix.lower() in IMAGE_SUFFIXES


def _are_results(value: Any) -> bool:
    rows = value.get("annotations") if isinstance(value, dict) else value
    first = rows[0] if isinstance(rows, list) and rows else None
    if isinstance(rows, list) and not rows:
        return True  # a board that found nothing
    return isinstance(first, dict) and "image_id" in first


@dataclass(frozen=True)
class Predictions:
    """Another program's answers.

    Attributes:
        file: where they stood.
        answers: by picture of the data set, as the task's scorer takes them.
        notes: what was odd, one sentence each.
    """

    file: Path
    answers: tuple[Any, ...]
    notes: tuple[str, ...]


def read_predictions(path: Path, dataset: Dataset) -> Predictions:
    """Read predictions for the pictures of a data set.

    Raises:
        InputError: the form is not kept, or the pictures are others.
    """
    file = _file_of(path) if path.is_dir() else path
    reader = _READERS.get(dataset.task)
    if reader is None:
        raise InputError(
            f"{file.name}: predictions for {dataset.task} cannot be read",
            "give the model itself",
        )
    return reader(file, dataset)


def _file_of(folder: Path) -> Path:
    files = [f for f in sorted(folder.iterdir()) if f.suffix.lower() in SUFFIXES]
    if len(files) != 1:
        found = listed([f.name for f in files]) or "none"
        raise InputError(f"{folder.name}: which file holds predictions? {found}", "give the file")
    return files[0]


def _boxes(file: Path, dataset: Dataset) -> Predictions:
    value = read_json(file)
    if isinstance(value, dict) and isinstance(value.get("annotations"), list):
        value = value["annotations"]
    if not isinstance(value, list):
        raise InputError(f"{file.name} is not COCO's results: a list of {', '.join(_RESULT_KEYS)}")
    rows = [_result(item, file) for item in value]
    place, keyed_by = _places([row[0] for row in rows], dataset, file)
    number, told = _category_numbers({row[1] for row in rows}, dataset, file)
    table: list[list[list[float]]] = [[] for _ in dataset.pictures]
    for image, category, corners, score in rows:
        if image in place:
            table[place[image]].append([*corners, score, float(number(category))])
    found = tuple(_sorted(np.array(items, np.float64).reshape(-1, 6)) for items in table)
    return Predictions(file, found, (*_absent(rows, place), *keyed_by, *told))


def _absent(rows: Sequence[tuple[Any, ...]], place: Mapping[str, int]) -> list[str]:
    others = sum(row[0] not in place for row in rows)
    return [f"{others} boxes are of pictures outside the data set, left out"] if others else []


def _sorted(found: Any) -> Any:
    return found[np.argsort(-found[:, 4], kind="stable")]


def _result(item: Any, file: Path) -> tuple[str, int, list[float], float]:
    try:
        x, y, width, height = (float(v) for v in item["bbox"])
        image, category, score = str(item["image_id"]), int(item["category_id"]), item["score"]
        numbers = [x, y, x + width, y + height], float(score)
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(
            f"{file.name}: a result is not {', '.join(_RESULT_KEYS)}: {str(item)[:80]}",
            "see COCO's results format: bbox is x, y, width, height in pixels",
        ) from error
    if not all(map(math.isfinite, (*numbers[0], numbers[1]))):
        raise InputError(f"{file.name}: a result is not finite: {str(item)[:80]}")
    return image, category, *numbers


def _places(
    images: Sequence[str], dataset: Dataset, file: Path
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Which picture an image id means: COCO's id, the file's name, or its stem."""
    keys: list[tuple[str, Callable[[Any], str]]] = [
        ("image id", lambda p: str(p.key)),
        ("file name", lambda p: str(p.name)),
        ("file name", lambda p: str(p.path.name)),
        ("file name without suffix", lambda p: str(p.path.stem)),
        ("number of the file name", lambda p: str(p.path.stem).lstrip("0") or "0"),
    ]
    wanted = set(images)
    best: dict[str, int] = {}
    told = ""
    for name, key in keys:
        found = {key(picture): at for at, picture in enumerate(dataset.pictures) if key(picture)}
        hits = {image: found[image] for image in wanted if image in found}
        if len(hits) > len(best):
            best, told = hits, name
    if wanted and not best:
        raise InputError(
            f"{file.name}: none of its {plural(len(wanted), 'image id')} is in {dataset.name}: "
            f"{listed(sorted(wanted))}",
            f"its pictures are {listed([p.key or p.name for p in dataset.pictures])}",
        )
    without = len(dataset.pictures) - len(set(best.values()))
    notes = [f"pictures told by {told}"] if told and told != "image id" else []
    if without:
        notes.append(f"no prediction for {plural(without, 'picture')} of {len(dataset.pictures)}")
    return best, tuple(notes)


def _category_numbers(
    ids: set[int], dataset: Dataset, file: Path
) -> tuple[Callable[[int], int], tuple[str, ...]]:
    """How a category id becomes a class number: COCO's ids, or numbers from 0."""
    known = {category: at for at, category in enumerate(dataset.category_ids)}
    if not known or ids <= known.keys():
        return (lambda category: known.get(category, category)), ()
    if ids <= set(range(len(known))):
        told = "its category ids are not the data set's but class numbers from 0, taken as such"
        return (lambda category: category), (told,)
    strange = sorted(ids - known.keys())
    raise InputError(
        f"{file.name}: category ids {listed([str(i) for i in strange])} are not in {dataset.name}",
        f"its ids are {listed([str(i) for i in dataset.category_ids])}",
    )


def _classes(file: Path, dataset: Dataset) -> Predictions:
    rows = _class_rows(file)
    place, keyed_by = _places([name for name, _ in rows], dataset, file)
    twice = [name for name, count in Counter(name for name, _ in rows).items() if count > 1]
    if twice:
        raise InputError(f"{file.name} names {twice[0]} twice", "one line for each picture")
    answers: list[Any] = [np.zeros(0, np.int64) for _ in dataset.pictures]
    for name, best in rows:
        if name in place:
            answers[place[name]] = best
    return Predictions(file, tuple(answers), keyed_by)


def _class_rows(file: Path) -> list[tuple[str, Any]]:
    """``file,class[,class...]`` a line, the best class first."""
    rows = []
    lines = read_text(file).splitlines()
    delimiter = "\t" if lines and "\t" in lines[0] else "," if lines and "," in lines[0] else " "
    for number, row in enumerate(csv.reader(lines, delimiter=delimiter), 1):
        cells = [cell.strip() for cell in row if cell.strip()]
        if not cells:
            continue
        digits = [cell for cell in cells[1:] if cell.isascii() and cell.isdigit()]
        if len(cells) > 1 and digits and cells[1].isdigit():
            rows.append((cells[0], np.array([int(cell) for cell in digits[:5]], np.int64)))
        elif number > 1:
            raise InputError(
                f"line {number} of {file.name} is not a file and the number of its class",
                "write: file,class with classes counted from 0, the best first",
            )
    return rows


_READERS: Mapping[str, Callable[[Path, Dataset], Predictions]] = {
    "detection": _boxes,
    "classification": _classes,
}
