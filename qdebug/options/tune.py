"""Options of ``qdebug tune`` and ``qdebug.tune``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qdebug.options import values
from qdebug.options.compare import CompareOptions
from qdebug.options.entry import entry, like, option
from qdebug.options.shared import (
    FLOAT,
    OUTPUT,
    PYTHON_ONLY,
    TUNED,
    InputOptions,
    MachineOptions,
    QuantOptions,
    WorkerOptions,
    WriteOptions,
)

if TYPE_CHECKING:
    from qdebug.progress import Progress

NODES = values.text("NAME")


@dataclass(frozen=True)
class TuneOptions(WriteOptions, MachineOptions, WorkerOptions, InputOptions, QuantOptions):
    """All that ``qdebug.tune`` takes."""

    float_model: str | Path = field(metadata=FLOAT)
    inputs: Sequence[str | Path] | str | Path = field(
        metadata=entry(
            "its quantized twin, if there is one, then the pictures to tune on, 12 to 24: a third "
            "of them decides and is not searched on",
            kind=values.text("INPUT"),
            many=True,
        )
    )
    output: str | Path = field(
        metadata=entry(
            "the repaired model; its record is written beside it as NAME.qdtune",
            "-o",
            "--output",
            kind=values.text("MODEL"),
            group=OUTPUT,
        )
    )
    _: KW_ONLY
    quant_model: str | Path | None = option(
        None, "the quantized twin, where it is not the first input", kind=PYTHON_ONLY
    )
    task: str = like(CompareOptions, "task", "how outputs are judged, as for qdebug compare")
    vendor: str | None = option(
        None,
        "toolchain whose files are written beside the model, and in whose words advice is written; "
        "what it cannot be told is not proposed",
        "--vendor",
        kind=values.TOLD,
        group=OUTPUT,
        key=True,
    )
    budget: str | None = option(
        None,
        "most units that may be given more bits beyond broken ones: a number, or macs=2%; default: "
        "up to the knee of the curve",
        "--budget",
        kind=values.BUDGET,
        group=TUNED,
    )
    target: str | None = option(
        None,
        "toolchain whose constraints are kept to, without its files: symmetric codes, powers of "
        "two, float or 16 bits; default: --vendor's, else what the given quantizers show",
        "--target",
        kind=values.TOLD,
        group=TUNED,
    )
    float_out: str | Path | None = option(
        None,
        "balance channels between layers, too, and write the float model with these and with the "
        "corrected biases, for a toolchain that quantizes it itself",
        "--float-out",
        kind=values.text("MODEL"),
        group=OUTPUT,
    )
    fallback: str | None = option(
        None,
        "what such units are given: 16 bits, or float; default: 16 bits where the target has them",
        "--fallback",
        kind=values.choice("16", "float"),
        group=TUNED,
    )
    time: float | None = option(
        None,
        "stop searching after so long, for instance 60s or 5min, with what was found by then",
        "--time",
        kind=values.DURATION,
        group=TUNED,
    )
    methods: bool = option(
        False,
        "measure every way to choose ranges and print the table",
        "--methods",
        kind=values.SWITCH,
        group=TUNED,
    )
    compare_at: str | None = option(
        None,
        "compare at these float tensors instead of the outputs: TENSOR[:weight],...",
        "--compare-at",
        kind=values.text("TENSORS"),
        group=TUNED,
    )
    keep: Sequence[str] = option(
        (),
        "node or tensor that gets more bits whatever it costs; repeatable",
        "--keep",
        kind=NODES,
        group=TUNED,
        many=True,
    )
    before: Sequence[str] = option(
        (),
        "the same for all nodes from the input to this one; repeatable",
        "--before",
        kind=NODES,
        group=TUNED,
        many=True,
    )
    after: Sequence[str] = option(
        (),
        "the same for all nodes from this one to the outputs; repeatable",
        "--after",
        kind=NODES,
        group=TUNED,
        many=True,
    )
    between: Sequence[str] = option(
        (),
        "the same for all nodes on the way from A to B; repeatable",
        "--between",
        kind=values.text("A:B"),
        group=TUNED,
        many=True,
    )
    command: Sequence[str] = option((), "the command line, for the record", kind=PYTHON_ONLY)
    progress: Progress | None = option(None, "told about the progress", kind=PYTHON_ONLY)
