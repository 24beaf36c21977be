r"""QNN, SNPE: ``Result_<n>/<name>.raw`` of ``qnn-net-run --debug``; AIMET: ``layer_outputs_<n>``.

Names are those of tensors with ``\W+`` made ``_``. Files are bytes without a header: float32, or
with ``_native`` behind the name the type of the graph; four axes lie as NHWC.
"""

from __future__ import annotations

import re
from pathlib import Path

from qdebug.dumps import Dump, DumpTensor
from qdebug.dumps.files import file_tensor
from qdebug.errors import InputError
from qdebug.vendors.dumps import DumpFormat

_RESULT = re.compile(r"(Result|layer_outputs)_\d+")
_NATIVE = r"_native$"


def _recognize(path: Path) -> bool:
    return path.is_dir() and bool(list(path.glob("*.raw")) or _results(path))


def _results(path: Path) -> list[Path]:
    """Folders of single inputs, the first one first."""
    found = [p for p in path.iterdir() if p.is_dir() and _RESULT.fullmatch(p.name)]
    return sorted(found, key=lambda p: int(p.name.rpartition("_")[2]))


def _read(path: Path) -> Dump:
    """The first input's tensors.

    Raises:
        InputError: there are none.
    """
    folders = _results(path) or [path]
    files = sorted(folders[0].rglob("*.raw"))
    tensors = [file_tensor(f, f.stem) for f in files]
    if not tensors:
        raise InputError(
            f"--board: no .raw file is in {folders[0].name}",
            "run qnn-net-run with --debug, and give its output folder",
        )
    plain = {t.name for t in tensors}
    kept: list[DumpTensor] = [
        t for t in tensors if not (t.name.endswith("_native") and t.name[:-7] in plain)
    ]
    several = len(folders) > 1
    notes = (f"the first of {len(folders)} inputs is read",) if several else ()
    return Dump(path.name, f"QNN results, {folders[0].name}", tuple(kept), (_NATIVE,), notes=notes)


DUMPS = DumpFormat(_recognize, _read)
