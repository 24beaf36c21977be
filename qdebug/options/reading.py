"""Options of ``qdebug reading``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from qdebug.options.compare import CompareOptions
from qdebug.options.entry import like
from qdebug.options.preprocess import PreprocessOptions
from qdebug.options.shared import (
    FLOAT,
    INPUTS,
    GateOptions,
    InputOptions,
    JsonOptions,
    MachineOptions,
    ProviderOptions,
    WriteOptions,
)


@dataclass(frozen=True)
class ReadingOptions(WriteOptions, ProviderOptions, MachineOptions, InputOptions):
    """What ``qdebug reading check`` takes besides its action."""

    float_model: str | Path = field(metadata=FLOAT)
    inputs: Sequence[str | Path] | str | Path = field(metadata=INPUTS)
    _: KW_ONLY
    predictions: str | Path | None = like(
        CompareOptions,
        "predictions",
        "the board's final answers for these pictures: COCO results, YOLO text or CSV of boxes, a "
        "class a file (CSV), path<TAB>text, or a folder of masks",
    )
    quant_model: str | None = like(
        PreprocessOptions, "quant_model", "its twin, whose outputs are nearer to the board's"
    )
    task: str = like(CompareOptions, "task", "how outputs are read: auto, or a task by name")


@dataclass(frozen=True, kw_only=True)
class ReadingCommandOptions(JsonOptions, GateOptions):
    """What the command takes besides: what becomes of the report."""
