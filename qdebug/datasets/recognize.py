"""Which form of data set a path is in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qdebug.datasets import classes, coco, masks, text_list, yolo
from qdebug.datasets.dataset import Dataset
from qdebug.datasets.files import read_json
from qdebug.errors import InputError

FORMS = ("coco", "yolo", "folders", "labels", "text", "masks")
"""Words of ``--data-format``."""
_YAML = (".yaml", ".yml")


def read_dataset(place: Path, form: str | None = None, images: Path | None = None) -> Dataset:
    """Read a labelled data set.

    Args:
        place: a file of labels or a folder.
        form: one of ``FORMS``; found out by default.
        images: folder of the pictures where it is not beside the labels.

    Raises:
        InputError: nothing there, or in no form that qdebug reads.
    """
    if not place.exists():
        raise InputError(f"{place} does not exist", "give a file of labels or a folder")
    if images is not None and not images.is_dir():
        raise InputError(f"--images: {images} is no folder", "give the folder of the pictures")
    return _reader(place, form)(place, images)


def _reader(place: Path, form: str | None) -> Callable[[Path, Path | None], Dataset]:
    chosen = form or (_form_of_folder(place) if place.is_dir() else _form_of_file(place))
    readers: dict[str, Callable[[Path, Path | None], Dataset]] = {
        "coco": _coco,
        "yolo": yolo.read_yolo,
        "folders": lambda folder, _: classes.read_class_folders(folder),
        "labels": _labels,
        "text": text_list.read_text_list,
        "masks": masks.read_masks,
    }
    return readers[chosen]


def _form_of_folder(folder: Path) -> str:
    if _coco_files(folder):
        return "coco"
    if yolo.is_yolo(folder):
        return "yolo"
    if masks.masks_folder(folder) is not None:
        return "masks"
    if (folder / "labels.csv").is_file():
        return "labels"
    if classes.has_class_folders(folder):
        return "folders"
    raise InputError(
        f"{folder.name} is in no form of data set that qdebug reads",
        "COCO JSON, YOLO text, a folder a class, labels.csv, path<TAB>text, or images and masks",
    )


def _form_of_file(file: Path) -> str:
    suffix = file.suffix.lower()
    if suffix == ".json":
        return "coco"
    if suffix in _YAML:
        return "yolo"
    return "text" if text_list.is_text_list(file) else "labels"


def _coco_files(folder: Path) -> list[Path]:
    files = [*sorted(folder.glob("*.json")), *sorted((folder / "annotations").glob("*.json"))]
    return [file for file in files if coco.is_coco(read_json(file))]


def _coco(place: Path, images: Path | None) -> Dataset:
    if not place.is_dir():
        return coco.read_coco(place, images)
    files = _coco_files(place)
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise InputError(f"{place.name}: which of its COCO files? {names}", "give the file itself")
    return coco.read_coco(files[0], images)


def _labels(place: Path, images: Path | None) -> Dataset:
    return classes.read_class_table(place / "labels.csv" if place.is_dir() else place, images)
