"""Ascend: ``.npy`` files as ``msaccucmp`` (from ``aclmdlSetDump``), msprobe and msit write them.

``<type>.<node>.<task>[.<stream>].<time>[.output.<number>].npy`` of the board, and
``<node>.<number>.<time>.npy`` of ONNX Runtime; node names hold dots, so that they are read from the
right.
"""

from __future__ import annotations

import re
from pathlib import Path

from qdebug.dumps import Dump, DumpTensor
from qdebug.dumps.files import folder_tensors
from qdebug.vendors.dumps import DumpFormat

_STEM = re.compile(
    r"(?:(?P<type>[A-Z]\w*)\.)?(?P<node>.+?)(?:\.\d+){1,2}\.\d{13,}(?P<slot>\.(?:in|out)put\.\d+)?"
)


def _recognize(path: Path) -> bool:
    if not path.is_dir():
        return False
    stems = [file.stem for file in path.rglob("*.npy")]
    return bool(stems) and all(_STEM.fullmatch(stem) for stem in stems)


def _read(path: Path) -> Dump:
    return Dump(path.name, "Ascend dump", tuple(filter(None, map(_named, folder_tensors(path)))))


def _named(tensor: DumpTensor) -> DumpTensor | None:
    """The tensor under its node's name; None for inputs of nodes and for further outputs."""
    found = _STEM.fullmatch(tensor.name.rpartition("/")[2])
    if found is None:
        return tensor
    if found["slot"] is not None and found["slot"] != ".output.0":
        return None
    return DumpTensor(found["node"], tensor.read)


DUMPS = DumpFormat(_recognize, _read)
