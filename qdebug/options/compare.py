"""Options of ``qdebug compare`` and ``qdebug.compare``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qdebug.options import values
from qdebug.options.entry import option
from qdebug.options.shared import (
    FLOAT,
    INPUT,
    INPUTS,
    MEASURED,
    OUTPUT,
    PYTHON_ONLY,
    QUANT,
    VERDICT,
    ConfigOptions,
    CutOptions,
    GateOptions,
    InputOptions,
    JsonOptions,
    MachineOptions,
    ProviderOptions,
    QuantOptions,
    WorkerOptions,
    WriteOptions,
)
from qdebug.quantities import LOCAL_SAMPLES

if TYPE_CHECKING:
    from qdebug.limits import LayerLimit
    from qdebug.progress import Progress
    from qdebug.run.model import Limit


@dataclass(frozen=True)
class CompareOptions(
    WriteOptions,
    ProviderOptions,
    MachineOptions,
    WorkerOptions,
    CutOptions,
    QuantOptions,
    InputOptions,
):
    """All that ``qdebug.compare`` takes."""

    float_model: str | Path = field(metadata=FLOAT)
    quant_model: str | Path = field(metadata=QUANT)
    inputs: Sequence[str | Path] | str | Path = field(metadata=INPUTS)
    _: KW_ONLY
    fed: str | Path | None = option(
        None,
        "the tensor that the device, or the calibration, was fed for the first input, to prove "
        "the input with",
        "--fed",
        kind=values.text("FILE"),
        group=INPUT,
    )
    board: str | Path | None = option(
        None,
        "what a device, a simulator or another runtime computed for the first input: a file or "
        "folder of tensors, a folder with one such dump an input, or a model.param of ncnn or "
        "model.tflite, which is run here on every input",
        "--board",
        kind=values.text("DUMP"),
        group=INPUT,
    )
    board_again: str | Path | None = option(
        None,
        "a second dump of the same input, or folder of them, to see whether the board repeats "
        "itself",
        "--board-again",
        kind=values.text("DUMP"),
        group=INPUT,
    )
    board_vendor: str | None = option(
        None,
        "toolchain that wrote DUMP, or plain; found out by default",
        "--board-vendor",
        kind=values.text("NAME"),
        group=INPUT,
    )
    predictions: str | Path | None = option(
        None,
        "the board's final answers for the same pictures: COCO results, YOLO text or CSV of boxes, "
        "a class a file (CSV), path<TAB>text, or a folder of masks",
        "--predictions",
        kind=values.text("FILE"),
        group=INPUT,
    )
    local: bool | str = option(
        True,
        f"measure the local error of every layer, on {LOCAL_SAMPLES} samples or on all of them; "
        "without it, no source and no victim is told",
        "--local",
        kind=values.LOCAL,
        group=MEASURED,
        key=True,
    )
    sensitivity: bool | str = option(
        False,
        "also tell what quantizing every layer alone does to the outputs: predicted from "
        "gradients, or exact: one run a layer (slow; what an interrupted measurement had done is "
        "taken up again)",
        "--sensitivity",
        kind=values.SENSITIVITY,
        group=MEASURED,
        key=True,
    )
    ceiling: bool = option(
        False,
        "also run QUANT with 16-bit codes: what remains is not resolution",
        "--ceiling",
        kind=values.SWITCH,
        group=MEASURED,
        key=True,
    )
    keep_tensors: str = option(
        "none",
        "store tensors as .npy in the run: none, all, or worst:N: what failed findings name "
        "first, then the largest errors",
        "--keep-tensors",
        kind=values.KEEP,
        group=MEASURED,
        key=True,
    )
    task: str = option(
        "auto",
        "how outputs are judged: auto (as what they are recognized), none, classification, "
        "detection, segmentation, text, keypoints, regression, embedding, or module:function: a "
        "function of both models' outputs (arrays by name) that returns numbers by name",
        "--task",
        kind=values.text("TASK"),
        group=MEASURED,
        key=True,
    )
    vendor: str | None = option(
        None,
        "toolchain in whose syntax fixes are written; default: all",
        "--vendor",
        kind=values.VENDOR,
        group=MEASURED,
        key=True,
    )
    limits: Sequence[Limit] | None = option(
        None,
        "limit for every output, for instance cosine=0.99 or sqnr_db=20, or for the task: "
        "task.f1=0.9; repeatable",
        "--fail-under",
        kind=values.LIMIT,
        group=VERDICT,
        many=True,
    )
    layer_limits: Sequence[LayerLimit] = option(
        (), "what single layers must hold, by name pattern", kind=PYTHON_ONLY
    )
    output: str | Path | None = option(
        None,
        "folder of the run; default: QUANT.qdrun here, with a number where it is taken (from "
        "Python: none, the run stays in memory)",
        "-o",
        "--output",
        kind=values.text("RUN"),
        group=OUTPUT,
    )
    command: Sequence[str] = option((), "the command line, for the record", kind=PYTHON_ONLY)
    refuse_slips: bool = option(
        False,
        "refuse two models that are no float model and its quantized twin, as the command does",
        kind=PYTHON_ONLY,
    )
    progress: Progress | None = option(None, "told about the progress", kind=PYTHON_ONLY)


@dataclass(frozen=True, kw_only=True)
class CompareCommandOptions(ConfigOptions, JsonOptions, GateOptions):
    """What ``qdebug compare`` takes besides: what becomes of the run."""

    html: str | None = option(
        None, "also write the HTML report", "--html", kind=values.text("FILE"), group=OUTPUT
    )
    any_pair: bool = option(
        False,
        "take any two models: two float ones, two quantized ones, the same one twice",
        "--any-pair",
        kind=values.SWITCH,
        group=INPUT,
    )
    browse: bool = option(
        False, "open the terminal browser after", "--browse", kind=values.SWITCH, group=OUTPUT
    )
