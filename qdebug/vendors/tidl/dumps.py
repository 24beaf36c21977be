"""TIDL: the traces of ``debug_level`` 3 and 4, with ``*.layer_info.txt``.

``tidl_trace<dataId>_<batch>_<channels>_<width>x<height>.y`` hold codes, the same with
``_float.bin`` float32; several cores put ``C7X_<n>_`` before. ``layer_info`` says
``layerId dataId name`` a line.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.bounds import read_text
from qdebug.dumps import Dump, DumpTensor
from qdebug.errors import InputError
from qdebug.vendors.dumps import DumpFormat

Array = npt.NDArray[Any]

_TRACE = re.compile(
    r".*?(?P<data>\d{4,})_(?P<batch>\d{5})_(?P<channels>\d{5})_(?P<w>\d{5})x(?P<h>\d{5})"
    r"(?P<kind>_float\.bin|\.y)"
)
_HINT = "give the folder of TIDL's traces with its *.layer_info.txt"


def _recognize(path: Path) -> bool:
    return path.is_dir() and any(_TRACE.fullmatch(file.name) for file in path.iterdir())


def _read(path: Path) -> Dump:
    """The traces of a folder; float ones where both are there.

    Raises:
        InputError: the names cannot be read.
    """
    names = _names(path)
    found: dict[str, tuple[bool, DumpTensor]] = {}
    for file in sorted(path.iterdir()):
        trace = _TRACE.fullmatch(file.name)
        if trace is None:
            continue
        number, is_float = int(trace["data"]), trace["kind"] != ".y"
        name = names.get(number, f"data {number}")
        shape = tuple(int(trace[key]) for key in ("batch", "channels", "h", "w"))
        tensor = DumpTensor(name, partial(_values, file, shape, is_float), says=names.get(number))
        if name not in found or is_float > found[name][0]:
            found[name] = is_float, tensor
    notes = () if names else ("no *.layer_info.txt: tensors have no names",)
    tensors = tuple(tensor for _, tensor in found.values())
    return Dump(path.name, "TIDL traces", tensors, (r"_netFormat$",), notes=notes)


def _names(path: Path) -> dict[int, str]:
    """Name by data id.

    Raises:
        InputError: the file is no text.
    """
    found = {}
    for file in sorted(path.glob("*layer_info.txt")):
        try:
            lines = read_text(file, InputError).splitlines()
        except (OSError, ValueError) as error:
            raise InputError(f"{file.name} cannot be read: {error}", _HINT) from error
        for words in map(str.split, lines):
            if len(words) > 2 and words[1].isdigit():
                found[int(words[1])] = words[2]
    return found


def _values(file: Path, shape: tuple[int, ...], is_float: bool) -> Array:
    """What a trace holds; the name says the shape, which is checked.

    Raises:
        InputError: the size is another.
    """
    count, size = int(np.prod(shape)), file.stat().st_size
    types = {4: np.float32} if is_float else {1: np.int8, 2: np.int16}
    if count == 0 or size % count or size // count not in types:
        told = "x".join(map(str, shape))
        raise InputError(f"--board: {file.name} has {size} bytes for {told} values", _HINT)
    return np.memmap(file, types[size // count], mode="r", shape=shape)


DUMPS = DumpFormat(_recognize, _read)
