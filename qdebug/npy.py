"""Reading ``.npy`` and ``.npz`` files of strangers: many exceptions become one, with its reason.

The header of such a file is Python text, which NumPy parses. Nothing is unpickled, and no room is
made for more values than the file holds.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# SyntaxError and TokenError come from the text of the header, TypeError from a data type that it
# makes up, the last two from a shape that no machine has.
_DAMAGE = (
    ValueError,
    TypeError,
    EOFError,
    KeyError,
    SyntaxError,
    TokenError,
    RecursionError,
    OverflowError,
    MemoryError,
)

# RuntimeError: encrypted; NotImplementedError: an unknown compression method.
ZIP_DAMAGE = (
    KeyError,
    OSError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a damaged archive raises."""


def map_npy(path: Path) -> Array:
    """The array of a file, memory-mapped.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged or holds Python objects; says which in a line.
    """
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except _DAMAGE as error:
        raise ValueError(_reason(error)) from error


def array_of_npy(data: bytes) -> Array:
    """The array of a file's content.

    Raises:
        ValueError: it is damaged, ends before its values do, or holds Python objects.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else _header_2_0
        shape, _, dtype = read(stream)
        # NumPy makes room for what the header claims before it looks for the values.
        if math.prod(shape) * dtype.itemsize > len(data) - stream.tell():
            raise ValueError("it ends before its values do")
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False)
    except _DAMAGE as error:
        raise ValueError(_reason(error)) from error


def _header_2_0(stream: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Also that of version 3, whose text may hold any letter: only names of fields do."""
    return np.lib.format.read_array_header_2_0(stream)


def _reason(error: Exception) -> str:
    """In a line, without NumPy's advice to load the file unsafely."""
    text = str(error)
    if "pickle" in text or "Python objects" in text:
        return "it holds Python objects"
    if isinstance(error, ValueError):
        return text.splitlines()[0] if text else "it is damaged"
    return "its header is damaged"
