"""Boxes as other programs write them: COCO results, YOLO text, CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qdebug.datasets.files import read_json, read_text
from qdebug.datasets.scan import picture_size
from qdebug.errors import InputError

Row = tuple[str, int, list[float], float]
"""Image, category, corners in pixels of the picture, score."""
RESULT_KEYS = ("image_id", "category_id", "bbox", "score")
_COLUMNS = {
    "image": ("image", "image_id", "file", "file_name", "filename", "path", "name", "picture"),
    "x1": ("x1", "xmin", "left", "x"),
    "y1": ("y1", "ymin", "top", "y"),
    "x2": ("x2", "xmax", "right"),
    "y2": ("y2", "ymax", "bottom"),
    "w": ("w", "width"),
    "h": ("h", "height"),
    "score": ("score", "confidence", "conf", "prob"),
    "class": ("class", "class_id", "category", "category_id", "label", "cls"),
}
_PLAIN = ("image", "x1", "y1", "x2", "y2", "score", "class")
_CSV_HINT = f"a CSV of boxes has the columns {', '.join(_PLAIN)}, or a header that names them"


def read_coco_results(file: Path) -> list[Row]:
    """A list of ``image_id, category_id, bbox, score``.

    Raises:
        InputError: it is another form, or holds what is no number.
    """
    value = read_json(file)
    if isinstance(value, dict) and isinstance(value.get("annotations"), list):
        value = value["annotations"]
    if not isinstance(value, list):
        raise InputError(f"{file.name} is not COCO's results: a list of {', '.join(RESULT_KEYS)}")
    return [_result(item, file) for item in value]


def _result(item: Any, file: Path) -> Row:
    try:
        x, y, width, height = (float(v) for v in item["bbox"])
        image, category, score = str(item["image_id"]), int(item["category_id"]), item["score"]
        numbers = [x, y, x + width, y + height], float(score)
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(
            f"{file.name}: a result is not {', '.join(RESULT_KEYS)}: {str(item)[:80]}",
            "see COCO's results format: bbox is x, y, width, height in pixels",
        ) from error
    if not all(map(math.isfinite, (*numbers[0], numbers[1]))):
        raise InputError(f"{file.name}: a result is not finite: {str(item)[:80]}")
    return image, category, *numbers


def is_yolo_text(folder: Path, stems: Sequence[str]) -> bool:
    """Whether a folder holds a text file for some of the pictures."""
    return any((folder / f"{stem}.txt").is_file() for stem in stems)


def read_yolo_text(folder: Path, pictures: Mapping[str, Path]) -> list[Row]:
    """``class x y width height score`` a line, centre and size as shares of the picture.

    Args:
        folder: with a text file a picture.
        pictures: file by stem.

    Raises:
        InputError: a line is not understood; one without a score is refused, as nothing ranks it.
    """
    rows: list[Row] = []
    for stem, picture in pictures.items():
        file = folder / f"{stem}.txt"
        size = picture_size(picture) if file.is_file() else None
        if size is None:
            continue
        for number, line in enumerate(read_text(file).splitlines(), 1):
            if line.strip():
                rows.append(_yolo_row(line, f"line {number} of {file.name}", stem, size))
    return rows


def _yolo_row(line: str, where: str, stem: str, size: tuple[int, int]) -> Row:
    hint = "write: class x y width height score, centre and size from 0 to 1"
    try:
        category, *numbers = (float(word) for word in line.split())
        x, y, width, height, score = numbers
    except ValueError as error:
        raise InputError(f"{where} is no box with a score: {line[:60]!r}", hint) from error
    if not all(map(math.isfinite, (category, *numbers))):
        raise InputError(f"{where} is not finite: {line[:60]!r}", hint)
    w, h = size
    corners = [(x - width / 2) * w, (y - height / 2) * h, (x + width / 2) * w, (y + height / 2) * h]
    return stem, int(category), corners, score


def read_box_csv(file: Path) -> list[Row]:
    """One box a line, with a header or in the order image, x1, y1, x2, y2, score, class.

    Raises:
        InputError: a column is missing, or a line holds what is no number.
    """
    lines = [row for row in csv.reader(read_text(file).splitlines()) if any(map(str.strip, row))]
    if not lines:
        return []
    columns = _columns(lines[0])
    body = lines[1:] if columns else lines
    columns = columns or {name: at for at, name in enumerate(_PLAIN)}
    lacking = [n for n in ("image", "x1", "y1", "score", "class") if n not in columns]
    if lacking or not ({"x2", "y2"} <= columns.keys() or {"w", "h"} <= columns.keys()):
        raise InputError(
            f"{file.name} has no column for {(*lacking, 'x2, y2 or w, h')[0]}", _CSV_HINT
        )
    return [_csv_row(row, columns, file) for row in body]


def _columns(header: Sequence[str]) -> dict[str, int]:
    """Column of each field; empty where the first line is a box itself."""
    words = [word.strip().casefold() for word in header]
    found = {n: words.index(w) for n, names in _COLUMNS.items() for w in names if w in words}
    return found if "x1" in found else {}


def _csv_row(row: Sequence[str], columns: Mapping[str, int], file: Path) -> Row:
    try:
        number = {n: float(row[at]) for n, at in columns.items() if n != "image"}
        image, category = row[columns["image"]].strip(), int(number["class"])
    except (IndexError, ValueError) as error:
        raise InputError(
            f"{file.name}: this is no box: {', '.join(row)[:80]}", _CSV_HINT
        ) from error
    if not all(map(math.isfinite, number.values())):
        raise InputError(f"{file.name}: a box is not finite: {', '.join(row)[:80]}")
    x2 = number["x2"] if "x2" in number else number["x1"] + number["w"]
    y2 = number["y2"] if "y2" in number else number["y1"] + number["h"]
    return image, category, [number["x1"], number["y1"], x2, y2], number["score"]
