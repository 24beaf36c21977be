"""Horizon: outputs dumped by ``hrt_model_exec infer --enable_dump``.

Files are ``model_infer_output_<number>_<tensor>.bin`` or ``.txt``: data type and layout of the
model's output, rows perhaps padded. The tensors of a quantized ONNX are ``<tensor>_quantized``,
codes in NHWC, and are read as plain files.
"""

from __future__ import annotations

import re
from pathlib import Path

from qdebug.dumps import Dump
from qdebug.dumps.files import folder_tensors
from qdebug.vendors.dumps import DumpFormat

_PREFIX = re.compile(r"^model_infer_output_\d+_")


def _recognize(path: Path) -> bool:
    return path.is_dir() and any(_PREFIX.match(file.name) for file in path.iterdir())


def _read(path: Path) -> Dump:
    tensors = tuple(folder_tensors(path))
    return Dump(path.name, "hrt_model_exec dump", tensors, (_PREFIX.pattern,))


DUMPS = DumpFormat(_recognize, _read)
