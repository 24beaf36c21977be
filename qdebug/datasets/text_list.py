"""Pictures of text: ``path<TAB>text`` a line, as PaddleOCR's recognizers are given it."""

from __future__ import annotations

from pathlib import Path

from qdebug.datasets.dataset import Dataset
from qdebug.datasets.files import check_some, located, read_text
from qdebug.errors import InputError

FORM = "a list of texts"


def is_text_list(file: Path) -> bool:
    """Whether every line is a path, a tab and a text that is more than a number."""
    lines = [line for line in read_text(file).splitlines() if line.strip()]
    parts = [line.partition("\t") for line in lines]
    return (
        bool(parts)
        and all(tab for _, tab, _ in parts)
        and not all(text.strip().isdigit() for _, _, text in parts)
    )


def read_text_list(file: Path, images: Path | None = None) -> Dataset:
    """Read the list.

    Raises:
        InputError: a line has no tab, or pictures are not there.
    """
    found: list[tuple[str, str]] = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        if not line.strip():
            continue
        name, tab, text = line.partition("\t")
        if not tab:
            raise InputError(
                f"line {number} of {file.name} has no tab", "write: path, a tab, the text"
            )
        found.append((name.strip(), text.rstrip("\r")))
    check_some(found, file.name)
    folders = [images] if images is not None else [file.parent, file.parent / "images"]
    return Dataset(file.name, FORM, "text", located(file, found, folders))
