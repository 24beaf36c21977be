"""RKNN-Toolkit2: the ``snapshot`` folder of ``accuracy_analysis``.

``golden`` holds the float run, ``simulator`` the quantized one and ``runtime`` the board's, as text
with one decimal a line, flat in the model's layout, without a shape. ``map_name_to_file.txt`` says
which file holds which tensor; fused tensors have a row and no file.
"""

from __future__ import annotations

import re
from pathlib import Path

from qdebug.bounds import read_text
from qdebug.dumps import Dump, DumpTensor
from qdebug.dumps.files import file_tensor
from qdebug.errors import InputError
from qdebug.vendors.dumps import DumpFormat
from qdebug.vendors.rknn.names import SWAPPED, WHY_SWAPPED

_MAP = "map_name_to_file.txt"
_RUNS = ("runtime", "simulator", "golden")
"""Folders of a snapshot, what is nearest to the board first."""
_SUFFIXES = (r"[-_](int8|float16|rs|mm)$",)
"""What the toolkit appends to tensors that it makes."""


def _recognize(path: Path) -> bool:
    return path.is_dir() and _map_of(path) is not None


def _map_of(path: Path) -> Path | None:
    """The map, in the folder or beside it."""
    return next((f for f in (path / _MAP, path.parent / _MAP) if f.is_file()), None)


def _read(path: Path) -> Dump:
    place = _map_of(path)
    folder = next((path / run for run in _RUNS if (path / run).is_dir()), path)
    names = _names(place) if place is not None else {}
    tensors, fused = [], set()
    for name, file_name in names.items():
        file = folder / Path(file_name).name  # never a path: the map is a file like any other
        if file.is_file():
            found = file_tensor(file, name)
            tensors.append(DumpTensor(name, found.read, says=name))
        else:
            fused.add(name)
    if not tensors:
        raise InputError(
            f"--board: no file that {_MAP} names is in {folder.name}",
            "give the snapshot folder, or one of its folders golden, simulator and runtime",
        )
    title = f"RKNN snapshot, {folder.name}"
    made = {SWAPPED: WHY_SWAPPED}
    return Dump(path.name, title, tuple(tensors), _SUFFIXES, frozenset(fused), made)


def _names(file: Path) -> dict[str, str]:
    """File of each tensor; the columns are separated by two blanks or more.

    Raises:
        InputError: it is no text.
    """
    try:
        lines = read_text(file, InputError).splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{_MAP} cannot be read: {error}", "dump it again") from error
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines]
    return {row[0]: row[1] for row in rows if len(row) == 2 and row[1].endswith(".txt")}


DUMPS = DumpFormat(_recognize, _read)
