"""TPU-MLIR: the ``.npz`` of ``model_runner --dump_all_tensors``.

Keys are ``<onnx tensor>_<operator>``; the int8 graph has casts ``..._si8``, ``..._f32`` beside
them. Values are dequantized, or codes with ``--out_fixed``; both are float32 in the model's layout.
"""

from __future__ import annotations

import re
from pathlib import Path

from qdebug.dumps import Dump
from qdebug.dumps.files import npz_tensors
from qdebug.errors import InputError
from qdebug.vendors.dumps import DumpFormat

_CASTS = re.compile(r"_(si8|ui8|si16|ui16|si32|i32|f32|f16|bf16)$")
_OPERATOR = re.compile(r"_[A-Z][A-Za-z0-9]*$")
_LEAST_SHARE = 0.5
"""Share of the keys that end in an operator, by judgement: inputs and casts do not."""


def _recognize(path: Path) -> bool:
    if path.suffix.lower() != ".npz":
        return False
    try:
        names = [tensor.name for tensor in npz_tensors(path)]
    except InputError:
        return False
    told = [name for name in names if _OPERATOR.search(_CASTS.sub("", name))]
    return bool(names) and len(told) > _LEAST_SHARE * len(names)


def _read(path: Path) -> Dump:
    suffixes = (_CASTS.pattern, _OPERATOR.pattern)
    return Dump(path.name, "TPU-MLIR npz", tuple(npz_tensors(path)), suffixes)


DUMPS = DumpFormat(_recognize, _read)
