"""What another program found on the pictures: boxes, classes, texts or masks."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qdebug.datasets import Dataset
from qdebug.datasets.files import listed, read_json, read_text
from qdebug.datasets.masks import read_mask
from qdebug.errors import InputError
from qdebug.preprocess.decode import IMAGE_SUFFIXES
from qdebug.reading.box_files import (
    Row,
    is_yolo_text,
    read_box_csv,
    read_coco_results,
    read_yolo_text,
)
from qdebug.vendors.quant_files import is_table
from qdebug.vocabulary.numbers import plural

SUFFIXES = (".json", ".csv", ".txt", ".tsv")


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
        form: for people: ``COCO results``.
    """

    file: Path
    answers: tuple[Any, ...]
    notes: tuple[str, ...]
    form: str = ""


def read_predictions(path: Path, dataset: Dataset) -> Predictions:
    """Read predictions for the pictures of a data set.

    Raises:
        InputError: the form is not kept, or the pictures are others.
    """
    reader = _READERS.get(dataset.task)
    if reader is None:
        raise InputError(
            f"{path.name}: predictions for {dataset.task} cannot be read",
            "give the model itself",
        )
    if not path.exists():
        raise InputError(f"{path} does not exist", "give the file of the board's answers")
    return reader(path, dataset)


def _file_of(folder: Path) -> Path:
    if not folder.is_dir():
        return folder
    files = [f for f in sorted(folder.iterdir()) if f.suffix.lower() in SUFFIXES]
    if len(files) != 1:
        found = listed([f.name for f in files]) or "none"
        raise InputError(f"{folder.name}: which file holds predictions? {found}", "give the file")
    return files[0]


def _boxes(path: Path, dataset: Dataset) -> Predictions:
    rows, file, form = _box_rows(path, dataset)
    place, keyed_by = _places([row[0] for row in rows], dataset, file)
    number, told = _category_numbers({row[1] for row in rows}, dataset, file)
    table: list[list[list[float]]] = [[] for _ in dataset.pictures]
    for image, category, corners, score in rows:
        if image in place:
            table[place[image]].append([*corners, score, float(number(category))])
    found = tuple(_sorted(np.array(items, np.float64).reshape(-1, 6)) for items in table)
    return Predictions(file, found, (*_absent(rows, place), *keyed_by, *told), form)


def _box_rows(path: Path, dataset: Dataset) -> tuple[list[Row], Path, str]:
    """The boxes, their file, and the form of it."""
    pictures = {picture.path.stem: picture.path for picture in dataset.pictures}
    if path.is_dir() and is_yolo_text(path, list(pictures)):
        return read_yolo_text(path, pictures), path, "YOLO text"
    file = _file_of(path)
    if file.suffix.lower() in (".csv", ".tsv"):
        return read_box_csv(file), file, "boxes as CSV"
    return read_coco_results(file), file, "COCO results"


def _absent(rows: Sequence[tuple[Any, ...]], place: Mapping[str, int]) -> list[str]:
    others = sum(row[0] not in place for row in rows)
    return [f"{others} boxes are of pictures outside the data set, left out"] if others else []


def _sorted(found: Any) -> Any:
    return found[np.argsort(-found[:, 4], kind="stable")]


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
        for spell in (str, _last_part):  # programs write the paths of their own machine
            hits = {image: found[spell(image)] for image in wanted if spell(image) in found}
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


def _last_part(image: str) -> str:
    return image.replace("\\", "/").rpartition("/")[2]


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


def _classes(path: Path, dataset: Dataset) -> Predictions:
    file = _file_of(path)
    rows = _class_rows(file)
    place, keyed_by = _places([name for name, _ in rows], dataset, file)
    twice = [name for name, count in Counter(name for name, _ in rows).items() if count > 1]
    if twice:
        raise InputError(f"{file.name} names {twice[0]} twice", "one line for each picture")
    answers: list[Any] = [np.zeros(0, np.int64) for _ in dataset.pictures]
    for name, best in rows:
        if name in place:
            answers[place[name]] = best
    return Predictions(file, tuple(answers), keyed_by, "classes as CSV")


def _texts(path: Path, dataset: Dataset) -> Predictions:
    """``path<TAB>text`` a line, as PaddleOCR writes what it reads; None for pictures without."""
    file = _file_of(path)
    rows = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        name, tab, text = line.partition("\t")
        if not tab and line.strip():
            raise InputError(f"line {number} of {file.name} has no tab", "write: path, a tab, text")
        if tab:
            rows.append((name.strip(), text))
    place, keyed_by = _places([name for name, _ in rows], dataset, file)
    answers: list[str | None] = [None] * len(dataset.pictures)
    for name, text in rows:
        if name in place:
            answers[place[name]] = text
    return Predictions(file, tuple(answers), keyed_by, "a list of texts")


def _masks(path: Path, dataset: Dataset) -> Predictions:
    """A folder with a PNG a picture, whose pixels are classes; None for pictures without."""
    if not path.is_dir():
        raise InputError(f"{path.name} is no folder of masks", "give a folder with a PNG a picture")
    found = {file.stem: file for file in sorted(path.glob("*.png"))}
    answers = [
        read_mask(found[p.path.stem]) if p.path.stem in found else None for p in dataset.pictures
    ]
    if all(answer is None for answer in answers):
        raise InputError(
            f"{path.name} holds no mask of these pictures: {listed(list(found)) or 'none'}",
            "name each PNG as its picture",
        )
    return Predictions(path, tuple(answers), (), "a folder of masks")


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
    "text": _texts,
    "segmentation": _masks,
}
