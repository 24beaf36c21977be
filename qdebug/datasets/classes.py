"""Pictures of one class each: a folder a class, or a table of files and labels."""

from __future__ import annotations

import csv
from pathlib import Path

from qdebug.datasets.dataset import Dataset, LabelledPicture
from qdebug.datasets.files import check_some, located, pictures_below, read_text
from qdebug.errors import InputError

FOLDERS, TABLE = "a folder a class", "a table of labels"
_FILE_WORDS = ("file", "filename", "file_name", "image", "path", "picture", "name")
_LABEL_WORDS = ("label", "class", "class_id", "target", "category", "index")


def has_class_folders(folder: Path) -> bool:
    """Whether a folder holds nothing but folders of pictures."""
    inner = _class_folders(folder)
    return len(inner) > 1 and all(pictures_below(sub) for sub in inner)


def _class_folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def read_class_folders(folder: Path) -> Dataset:
    """ImageNet-like: the class is the place of the folder in sorted order, as torchvision counts.

    Folders whose names are all whole numbers are those classes.
    """
    folders = _class_folders(folder)
    names = [sub.name for sub in folders]
    numbered = all(name.isascii() and name.isdigit() for name in names)
    pictures = tuple(
        LabelledPicture(path.relative_to(folder).as_posix(), path, number)
        for at, sub in enumerate(folders)
        for number in (int(sub.name) if numbered else at,)
        for path in pictures_below(sub)
    )
    check_some(pictures, folder.name)
    return Dataset(
        folder.name, FOLDERS, "classification", pictures, () if numbered else tuple(names)
    )


def read_class_table(file: Path, images: Path | None = None) -> Dataset:
    """``file,label`` a line, comma or tab, with or without a line of headings.

    Raises:
        InputError: a label is not a number, or pictures are not there.
    """
    rows = _rows(file)
    columns = _columns(rows, file)
    start = 1 if columns is not None else 0
    name_at, label_at = columns or (0, 1)
    found: list[tuple[str, int]] = []
    for number, row in enumerate(rows[start:], start + 1):
        label = row[label_at].strip() if len(row) > max(name_at, label_at) else ""
        if not (label.isascii() and label.isdigit()):
            raise InputError(
                f"line {number} of {file.name} is not a file and the number of its class",
                "write: file,label with labels counted from 0",
            )
        found.append((row[name_at].strip(), int(label)))
    check_some(found, file.name)
    folders = [images] if images is not None else [file.parent / "images", file.parent]
    return Dataset(file.name, TABLE, "classification", located(file, found, folders))


def _rows(file: Path) -> list[list[str]]:
    text = read_text(file)
    first = text.partition("\n")[0]
    delimiter = "\t" if "\t" in first else "," if "," in first else " "
    try:
        return [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if row]
    except csv.Error as error:
        raise InputError(f"{file.name} is no table: {error}") from error


def _columns(rows: list[list[str]], file: Path) -> tuple[int, int] | None:
    """Which columns hold file and label; None where the first line is no line of headings."""
    heads = [cell.strip().lower() for cell in rows[0]] if rows else []
    names = [heads.index(word) for word in _FILE_WORDS if word in heads]
    labels = [heads.index(word) for word in _LABEL_WORDS if word in heads]
    if names and labels:
        return names[0], labels[0]
    if names or labels:
        raise InputError(
            f"{file.name}: its headings are {', '.join(rows[0])[:80]}",
            "one has to be 'file', another one 'label'",
        )
    return None
