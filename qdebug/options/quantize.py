"""Options of ``qdebug quantize`` and ``qdebug.quantize``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qdebug.options import values
from qdebug.options.entry import entry, like, option
from qdebug.options.shared import (
    FLOAT,
    INPUT,
    MEASURED,
    OUTPUT,
    PYTHON_ONLY,
    CutOptions,
    InputOptions,
    MachineOptions,
    QuantOptions,
    WriteOptions,
)

if TYPE_CHECKING:
    from qdebug.preprocess.implied import SpecLike
    from qdebug.progress import Progress


@dataclass(frozen=True)
class QuantizeOptions(WriteOptions, CutOptions, QuantOptions):
    """All that ``qdebug.quantize`` takes."""

    float_model: str | Path = field(metadata=FLOAT)
    output: str | Path = field(
        metadata=entry("file to write", "-o", "--output", kind=values.text("FILE"), group=OUTPUT)
    )
    _: KW_ONLY
    source: str | Path | None = option(
        None,
        "the toolchain's file that says how it quantizes",
        "--from",
        kind=values.text("FILE"),
        group=INPUT,
    )
    calibrate: Sequence[str | Path] | str | Path | None = option(
        None,
        "pictures, folders, globs or tensor files to calibrate with; repeatable",
        "--calibrate",
        kind=values.text("PICTURES"),
        group=INPUT,
        many=True,
    )
    method: str = option(
        "max",
        "how ranges are chosen: max, mse, kl, or percentile=99.99",
        "--method",
        kind=values.METHOD,
        group=MEASURED,
    )
    preprocess: SpecLike | None = like(
        InputOptions, "preprocess", "pipeline of the pictures to calibrate with"
    )
    shape: tuple[int, ...] | None = like(InputOptions, "shape", "shape of raw .bin tensors")
    dtype: str | None = like(InputOptions, "dtype", "data type of raw .bin tensors")
    limit: int | None = like(InputOptions, "limit", "use the first N pictures only")
    threads: int | None = like(
        MachineOptions, "threads", "threads of ONNX Runtime; default: its own choice"
    )
    progress: Progress | None = option(None, "told about the progress", kind=PYTHON_ONLY)
