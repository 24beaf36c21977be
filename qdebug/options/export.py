"""Options of ``qdebug export`` and ``qdebug.export``."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from qdebug.options import values
from qdebug.options.entry import entry, option
from qdebug.options.shared import MODELS, OUTPUT, QuantOptions, WriteOptions


@dataclass(frozen=True)
class ExportOptions(WriteOptions, QuantOptions):
    """All that ``qdebug.export`` takes."""

    source: str | Path = field(
        metadata=entry(
            "a run, whose fixes are written, the record of a tuning, a quantized graph, or a "
            "toolchain's file",
            kind=values.text("SOURCE"),
        )
    )
    vendor: str = field(
        metadata=entry(
            "toolchain whose file is written", "--vendor", kind=values.text("NAME"), group=OUTPUT
        )
    )
    output: str | Path = field(
        metadata=entry("file to write", "-o", "--output", kind=values.text("FILE"), group=OUTPUT)
    )
    _: KW_ONLY
    form: str | None = option(
        None,
        "which of the toolchain's files; default: by the name of the file, else the usual one",
        "--as",
        kind=values.text("FORM"),
        group=OUTPUT,
    )
    float_model: str | Path | None = option(
        None,
        "the float model: whose names are used where SOURCE is a graph; needed where it is a "
        "toolchain's file, and where a toolchain's names keep nothing of ONNX's (ncnn)",
        "--float",
        kind=values.text("FLOAT"),
        group=MODELS,
    )
