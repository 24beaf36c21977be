"""Options of ``qdebug extract`` and ``qdebug.extract``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qdebug.options import values
from qdebug.options.entry import entry, option
from qdebug.options.shared import (
    FLOAT,
    INPUTS,
    OUTPUT,
    PYTHON_ONLY,
    QUANT,
    CutOptions,
    InputOptions,
    MachineOptions,
    QuantOptions,
    WriteOptions,
)

if TYPE_CHECKING:
    from qdebug.progress import Progress


@dataclass(frozen=True)
class ExtractOptions(WriteOptions, MachineOptions, CutOptions, QuantOptions, InputOptions):
    """All that ``qdebug.extract`` takes."""

    float_model: str | Path = field(metadata=FLOAT)
    quant_model: str | Path = field(metadata=QUANT)
    layer: str = field(
        metadata=entry(
            "a node or tensor of FLOAT, a tensor of QUANT, or '#12', the layer's number in a run",
            kind=values.text("LAYER"),
        )
    )
    inputs: Sequence[str | Path] | str | Path = field(metadata=INPUTS)
    output: str | Path = field(
        metadata=entry("folder to write", "-o", "--output", kind=values.text("DIR"), group=OUTPUT)
    )
    _: KW_ONLY
    context: int = option(
        0,
        "take N layers upstream along, where a toolchain fuses them with this one",
        "--context",
        kind=values.COUNT,
        group=OUTPUT,
    )
    progress: Progress | None = option(None, "told about the progress", kind=PYTHON_ONLY)
