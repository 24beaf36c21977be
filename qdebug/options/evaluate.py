"""Options of ``qdebug evaluate`` and ``qdebug.evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qdebug.options import values
from qdebug.options.entry import entry, like, option
from qdebug.options.shared import (
    INPUT,
    MEASURED,
    OUTPUT,
    PYTHON_ONLY,
    VERDICT,
    ConfigOptions,
    CutOptions,
    InputOptions,
    JsonOptions,
    MachineOptions,
    ProviderOptions,
    QuantOptions,
    WorkerOptions,
    WriteOptions,
)

if TYPE_CHECKING:
    from qdebug.preprocess.implied import SpecLike
    from qdebug.progress import Progress
    from qdebug.run.model import Limit


@dataclass(frozen=True)
class EvaluateOptions(WriteOptions):
    """All that ``qdebug.evaluate`` takes."""

    models: Sequence[str | Path] | str | Path = field(
        metadata=entry(
            "ONNX models, the float one first, files in which a toolchain says how it quantizes, "
            "or predictions of another program (COCO results JSON, a class a file as CSV, or the "
            "folder of one)",
            kind=values.text("MODEL"),
            many=True,
        )
    )
    data: str | Path = field(
        metadata=entry(
            "labelled data: COCO JSON, YOLO text (its folder or yaml), a folder a class, "
            "labels.csv, path<TAB>text, or a folder of images and masks",
            "--data",
            kind=values.text("DATASET"),
            group=INPUT,
        )
    )
    _: KW_ONLY
    preprocess: SpecLike | None = like(
        InputOptions, "preprocess", "pipeline of pictures; default: what the first model implies"
    )
    quant_preprocess: SpecLike | None = like(
        InputOptions, "quant_preprocess", "the same for the other models where they want another"
    )
    data_format: str | None = option(
        None,
        "form of DATASET; found out by default",
        "--data-format",
        kind=values.choice("coco", "yolo", "folders", "labels", "text", "masks"),
        group=INPUT,
    )
    images: str | Path | None = option(
        None,
        "folder of the pictures where it is not beside the labels",
        "--images",
        kind=values.text("DIR"),
        group=INPUT,
    )
    quant_format: str | None = like(
        QuantOptions, "quant_format", "format of a MODEL that is a toolchain's file"
    )
    qtable: str | Path | None = like(
        QuantOptions, "qtable", "the toolchain's second table, for a MODEL that is its file"
    )
    names: str | Path | None = like(
        QuantOptions, "names", "the toolchain's own optimized float graph, for such a MODEL"
    )
    outputs: str | None = like(
        CutOptions,
        "outputs",
        "tensors or nodes of the first model, separated by commas, to take all models up to",
    )
    limit: int | None = like(InputOptions, "limit", "use the first N pictures only")
    skip_broken: bool = option(
        False,
        "leave pictures out that cannot be read, instead of stopping",
        "--skip-broken",
        kind=values.SWITCH,
        group=INPUT,
    )
    class_offset: int = option(
        0,
        "class of the head that the data set's class 0 is, for instance 1 where the head's first "
        "class is the background",
        "--class-offset",
        kind=values.NATURAL,
        group=INPUT,
    )
    confidence: float = option(
        0.001,
        "least score of a box",
        "--confidence",
        kind=values.SHARE,
        group=MEASURED,
    )
    iou: float = option(
        0.6,
        "boxes of one class that overlap more are suppressed",
        "--iou",
        kind=values.SHARE,
        group=MEASURED,
    )
    max_boxes: int = option(
        300, "boxes a picture, best first", "--max-boxes", kind=values.COUNT, group=MEASURED
    )
    multi_label: bool = option(
        True,
        "every class of a candidate above the confidence is a box, not its best alone",
        "--multi-label",
        kind=values.SWITCH,
        group=MEASURED,
        key=True,
    )
    provider: str = like(ProviderOptions, "provider", "execution provider of the models")
    threads: int | None = like(MachineOptions, "threads", "threads of ONNX Runtime a process")
    workers: int = like(WorkerOptions, "workers")
    scheduler: str | None = like(WorkerOptions, "scheduler")
    limits: Sequence[Limit] = option(
        (),
        "what every model must reach, for instance map50_95=0.32; repeatable",
        "--fail-under",
        kind=values.SCORE,
        group=VERDICT,
        many=True,
    )
    max_drop: float | None = option(
        None,
        "how much of its first metric a model may lose against the first model, for instance 0.01",
        "--max-drop",
        kind=values.SHARE,
        group=VERDICT,
    )
    changed: str | Path | None = option(
        None,
        "write the pictures that changed, worst first, those of the last MODEL before others', as "
        "a list that compare takes as INPUT",
        "--changed",
        kind=values.text("FILE"),
        group=OUTPUT,
    )
    output: str | Path | None = option(
        None,
        "folder of the record; default: NAME.qdeval here, after the last model (from Python: "
        "none, it stays in memory)",
        "-o",
        "--output",
        kind=values.text("RECORD"),
        group=OUTPUT,
    )
    command: Sequence[str] = option((), "the command line, for the record", kind=PYTHON_ONLY)
    progress: Progress | None = option(None, "told about the progress", kind=PYTHON_ONLY)


@dataclass(frozen=True, kw_only=True)
class EvaluateCommandOptions(ConfigOptions, JsonOptions):
    """What ``qdebug evaluate`` takes besides."""
