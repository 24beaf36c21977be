"""YOLO's labels: a text file beside each picture, ``class x y width height`` in 0..1 a line.

Form: https://docs.ultralytics.com/datasets/detect/. Labels stand in a folder ``labels`` beside
``images``, or beside the pictures; a ``.yaml`` with ``names`` may name the classes.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from qdebug.datasets.dataset import BoxTruth, Dataset, LabelledPicture
from qdebug.datasets.files import check_some, listed, pictures_below, read_text
from qdebug.errors import InputError
from qdebug.vocabulary.numbers import plural

FORM = "YOLO text"
_YAML = (".yaml", ".yml")
_SLACK = 1e-3
"""Relative coordinates rounded to three digits may stand so far beyond the picture."""


def is_yolo(folder: Path) -> bool:
    """Whether a folder has the form."""
    labels = _labels_folder(folder)
    files = _label_files(labels)
    return any(path.stem in files for path in _pictures(folder, labels)) if files else False


def read_yolo(place: Path, images: Path | None = None) -> Dataset:
    """Read a folder, or the yaml that describes it.

    Raises:
        InputError: a label is not understood, or pictures are not there.
    """
    names: tuple[str, ...] = ()
    folder = place
    if place.suffix.lower() in _YAML:
        described = _yaml(place)
        names = _names(described, place)
        folder = _folder_of(described, place)
    else:
        yaml = next((f for s in _YAML for f in sorted(folder.glob(f"*{s}"))), None)
        names = _names(_yaml(yaml), yaml) if yaml is not None else ()
    labels = _labels_folder(folder)
    pictures = pictures_below(images) if images is not None else _pictures(folder, labels)
    check_some(pictures, place.name)
    return _dataset(place, labels, pictures, names)


def _dataset(place: Path, labels: Path, pictures: list[Path], names: tuple[str, ...]) -> Dataset:
    stems = {path.stem for path in pictures}
    files = _label_files(labels, stems)
    alone = [f.name for stem, f in files.items() if stem not in stems]
    if alone:
        raise InputError(
            f"{place.name}: {len(alone)} of {len(files)} label files have no picture: "
            f"{listed(alone)}",
            "give the folder of the pictures with --images",
        )
    found = [(path, _boxes(files.get(path.stem), names)) for path in pictures]
    notes = []
    empty = sum(not len(truth) for _, truth in found)
    if empty:
        notes.append(f"{plural(empty, 'picture')} of {len(found)} without any object")
    root = labels.parent
    return Dataset(
        place.name,
        FORM,
        "detection",
        tuple(LabelledPicture(_short(p, root), p, truth, p.stem) for p, truth in found),
        names,
        notes=tuple(notes),
    )


def _label_files(labels: Path, stems: Collection[str] = ()) -> dict[str, Path]:
    """Text files by stem that are a picture's, or have the form of labels; not a README."""
    found = sorted(labels.rglob("*.txt"))
    return {f.stem: f for f in found if f.stem in stems or _begins_as_label(f)}


def _begins_as_label(file: Path) -> bool:
    """Whether its first line begins with a number, or it is empty."""
    with file.open("rb") as stream:
        words = stream.read(200).split(b"\n")[0].split()
    return not words or (len(words) >= 5 and words[0].isdigit())


def _short(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _labels_folder(folder: Path) -> Path:
    """``labels`` of the data set, of a split (``images/val`` has ``labels/val``), or the same."""
    parts = list(folder.parts)
    if "images" in parts:
        at = len(parts) - 1 - parts[::-1].index("images")
        mirrored = Path(*parts[:at], "labels", *parts[at + 1 :])
        if mirrored.is_dir():
            return mirrored
    inner = folder / "labels"
    return inner if inner.is_dir() else folder


def _pictures(folder: Path, labels: Path) -> list[Path]:
    inner = folder / "images"
    if inner.is_dir():
        return pictures_below(inner)
    if folder == labels and folder.name == "labels":  # the folder of the labels was given
        beside = folder.parent / "images"
        return pictures_below(beside if beside.is_dir() else folder.parent)
    return pictures_below(folder)


def _yaml(file: Path) -> dict[str, Any]:
    import yaml

    try:
        value = yaml.safe_load(read_text(file))
    except (yaml.YAMLError, RecursionError) as error:
        told = str(error).splitlines()[0]
        raise InputError(f"{file.name} is not valid YAML: {told}", "see YOLO's data.yaml") from None
    if not isinstance(value, dict):
        raise InputError(f"{file.name} is no data set of YOLO", "it needs 'val' and 'names'")
    return value


def _names(described: dict[str, Any], file: Path) -> tuple[str, ...]:
    names = described.get("names", ())
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise InputError(f"{file.name}: names are not numbered 0 to {len(names) - 1}")
        names = [names[at] for at in range(len(names))]
    return tuple(str(name) for name in names) if isinstance(names, (list, tuple)) else ()


def _folder_of(described: dict[str, Any], file: Path) -> Path:
    split = next((described[k] for k in ("val", "test", "train") if described.get(k)), None)
    if not isinstance(split, str):
        raise InputError(f"{file.name} names no folder under 'val'", "give the folder itself")
    root = described.get("path") or "."
    for folder in (file.parent / str(root) / split, file.parent / split):
        if folder.is_dir():
            return folder
    raise InputError(f"{file.name}: {split} is not there", "give the folder itself")


def _boxes(file: Path | None, names: tuple[str, ...]) -> BoxTruth:
    rows: list[list[float]] = []
    for number, line in enumerate(read_text(file).splitlines() if file else (), 1):
        if not line.strip():
            continue
        assert file is not None
        rows.append(_row(line, f"line {number} of {file.name}", len(names)))
    table = np.array(rows, np.float64).reshape(-1, 5)
    low, high = table[:, 1:3] - table[:, 3:5] / 2, table[:, 1:3] + table[:, 3:5] / 2
    return BoxTruth(
        np.concatenate([low, high], axis=1),
        table[:, 0].astype(np.int64),
        np.zeros(len(table), np.bool_),
        np.full(len(table), np.nan),
        relative=True,
    )


def _row(line: str, where: str, classes: int) -> list[float]:
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        values = []
    if len(values) > 5 and len(values) % 2:
        values = [values[0], *_around(values[1:])]
    if len(values) != 5 or not np.isfinite(values).all() or values[0] != int(values[0]):
        raise InputError(f"{where} is not 'class x y width height': {line.strip()[:60]!r}")
    if min(values) < -_SLACK or max(values[1:]) > 1 + _SLACK:
        raise InputError(
            f"{where} is not in 0..1: {line.strip()[:60]!r}",
            "YOLO's coordinates are shares of the picture's width and height",
        )
    if classes and values[0] >= classes:
        raise InputError(f"{where}: class {values[0]:.0f} of {classes}, counted from 0")
    return values


def _around(points: list[float]) -> list[float]:
    """The box around a polygon ``x y x y ...`` of a segmentation label."""
    xy = np.array(points).reshape(-1, 2)
    low, high = xy.min(axis=0), xy.max(axis=0)
    return [*((low + high) / 2), *(high - low)]
