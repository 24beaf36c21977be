"""Dumps as plain files: a folder of ``.npy``, ``.npz``, ``.bin`` or ``.txt``, or one ``.npz``.

Names are keys of a dictionary here and never become paths: those of toolchains hold ``/``, ``:``
and ``..``.
"""

from __future__ import annotations

import functools
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.bounds import check_unpacked, read_text
from qdebug.dumps.dump import Dump, DumpTensor
from qdebug.errors import InputError
from qdebug.npy import ZIP_DAMAGE, array_of_npy, map_npy

Array = npt.NDArray[Any]

SUFFIXES = (".npy", ".npz", ".bin", ".raw", ".txt")
_HINT = "a dump is an .npz, or a folder of .npy, .npz, .bin or .txt named after tensors"


def read_plain(path: Path) -> Dump:
    """Read a dump of no particular toolchain.

    Raises:
        InputError: nothing there, or a file that cannot be read.
    """
    if not path.exists():
        raise InputError(f"--board: {path} does not exist", _HINT)
    if path.is_dir():
        tensors = tuple(folder_tensors(path))
        title = "a folder of tensors"
    elif path.suffix.lower() == ".npz":
        tensors, title = tuple(npz_tensors(path)), "an .npz"
    elif path.suffix.lower() in SUFFIXES:
        tensors, title = (file_tensor(path, path.stem),), f"one {path.suffix} file"
    else:
        raise InputError(f"--board: {path.name} is no dump that qdebug reads", _HINT)
    if not tensors:
        raise InputError(f"--board: {path.name} holds no tensor", _HINT)
    return Dump(path.name, title, tensors)


def folder_tensors(folder: Path) -> list[DumpTensor]:
    """Every tensor file of a folder and its sub-folders, named by its place in it.

    Raises:
        InputError: two files are of one name.
    """
    found = list(_in_folder(folder))
    seen = Counter(tensor.name for tensor in found)
    twice = [name for name, count in seen.items() if count > 1]
    if twice:
        raise InputError(
            f"{folder.name} holds {min(twice)!r} twice", "keep one file of each tensor"
        )
    return found


def _in_folder(folder: Path) -> Iterator[DumpTensor]:
    for file in sorted(folder.rglob("*")):
        if not file.is_file() or file.name.startswith("."):
            continue
        if file.suffix.lower() == ".npz":
            yield from npz_tensors(file)
        elif file.suffix.lower() in SUFFIXES:
            name = file.relative_to(folder).as_posix()[: -len(file.suffix)]
            yield file_tensor(file, name)


def npz_tensors(file: Path) -> list[DumpTensor]:
    """The arrays of an ``.npz``, read when they are asked for.

    Raises:
        InputError: the file is damaged, or an array is stored under a name twice.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            names = [info.filename for info in archive.infolist()]
    except ZIP_DAMAGE as error:
        raise InputError(f"{file.name} is damaged or no .npz: {error}", _HINT) from error
    keys = [name.removesuffix(".npy") for name in names]
    twice = {key for key in keys if keys.count(key) > 1} if len(set(keys)) < len(keys) else set()
    if twice:
        raise InputError(f"{file.name} holds {min(twice)!r} twice", "dump it again")
    return [
        DumpTensor(key, functools.partial(_from_npz, file, name))
        for key, name in zip(keys, names, strict=True)
    ]


def file_tensor(file: Path, name: str) -> DumpTensor:
    """One file as one tensor."""
    reader: Callable[[Path], Array] = {
        ".npy": _from_npy,
        ".txt": read_numbers,
    }.get(file.suffix.lower(), _from_raw)
    return DumpTensor(name, functools.partial(reader, file))


def _from_npz(file: Path, member: str) -> Array:
    try:
        with zipfile.ZipFile(file) as archive:
            check_unpacked(archive.getinfo(member).file_size, f"{file.name}: {member}", InputError)
            array = array_of_npy(archive.read(member))
    except (ValueError, *ZIP_DAMAGE) as error:
        raise _unreadable(file, error, member) from error
    return _numbers(array, f"{file.name}: {member}")


def _numbers(array: Array, where: str) -> Array:
    """The array, if it holds numbers.

    Raises:
        InputError: it is of a type that numpy does not know (bfloat16, float8), text or complex.
    """
    if array.dtype.kind not in "fiub":
        raise InputError(
            f"{where} holds values of the type {array.dtype}, which are no numbers here",
            "dump it as float32, or as integer codes",
        )
    return array


def _from_npy(file: Path) -> Array:
    try:
        array = map_npy(file)
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from error
    return _numbers(array, file.name)


def _from_raw(file: Path) -> Array:
    """Bytes without a header: ``layouts`` finds the data type by the size."""
    return np.memmap(file, np.uint8, mode="r") if file.stat().st_size else np.zeros(0, np.uint8)


def read_numbers(file: Path) -> Array:
    """Text with one or more decimal numbers a line, flat.

    Raises:
        InputError: something else stands in it.
    """
    try:
        words = read_text(file, InputError).split()
        numbers = np.array(words, np.float32)
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from error
    strange = int(np.count_nonzero(~np.isfinite(numbers)))
    if strange:
        raise InputError(
            f"{file.name}: {strange} of its {len(numbers)} numbers are not finite",
            "a buffer that was never written, or one of another type, looks like that",
        )
    return numbers


def _unreadable(file: Path, error: Exception, member: str = "") -> InputError:
    where = f"{file.name}: {member}" if member else file.name
    reason = (str(error).splitlines() or ["it is damaged"])[0]
    return InputError(f"{where} cannot be read as numbers: {reason}", _HINT)


def as_values(array: Array, sizes: Sequence[int]) -> list[Array]:
    """What raw bytes may be: the data types under which they have one of the sizes wanted.

    Args:
        array: as read; bytes only where the file has no header.
        sizes: numbers of values that would fit.
    """
    if array.dtype != np.uint8 or array.ndim != 1:
        return [array]
    whole = len(array)
    found = [
        np.frombuffer(array.tobytes(), dtype)
        for dtype in (np.float32, np.float16, np.int16, np.int8, np.uint8)
        if whole % np.dtype(dtype).itemsize == 0 and whole // np.dtype(dtype).itemsize in sizes
    ]
    return found or [array]
