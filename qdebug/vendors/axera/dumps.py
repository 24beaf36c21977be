"""Axera: ``sim_outputs/<input>/<tensor>.bin`` of ``pulsar2 run --enable_perlayer_output``.

Files are bytes without a header; names are those of tensors as file names hold them.
"""

from __future__ import annotations

from pathlib import Path

from qdebug.dumps import Dump
from qdebug.dumps.files import folder_tensors
from qdebug.errors import InputError
from qdebug.vendors.dumps import DumpFormat

_FOLDER = "sim_outputs"


def _recognize(path: Path) -> bool:
    return path.is_dir() and (path.name == _FOLDER or (path / _FOLDER).is_dir())


def _read(path: Path) -> Dump:
    """The first input's tensors.

    Raises:
        InputError: there are none.
    """
    place = path if path.name == _FOLDER else path / _FOLDER
    inputs = sorted((p for p in place.iterdir() if p.is_dir() and p.name.isdigit()), key=_number)
    tensors = tuple(folder_tensors(inputs[0] if inputs else place))
    if not tensors:
        raise InputError(
            f"--board: {_FOLDER} holds no tensor",
            "run pulsar2 run with --enable_perlayer_output",
        )
    notes = (f"the first of {len(inputs)} inputs is read",) if len(inputs) > 1 else ()
    return Dump(path.name, "Pulsar2 run", tensors, notes=notes)


def _number(path: Path) -> int:
    return int(path.name)


DUMPS = DumpFormat(_recognize, _read)
