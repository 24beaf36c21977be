"""Options of ``qdebug preprocess``."""

from __future__ import annotations

from dataclasses import dataclass

from qdebug.options import values
from qdebug.options.compare import CompareOptions
from qdebug.options.entry import like, option
from qdebug.options.shared import (
    INPUT,
    MODELS,
    OUTPUT,
    GateOptions,
    InputOptions,
    JsonOptions,
    QuantOptions,
    WriteOptions,
)


@dataclass(frozen=True, kw_only=True)
class PreprocessOptions(WriteOptions, JsonOptions, GateOptions, QuantOptions):
    """What ``qdebug preprocess`` takes besides its action and its operands."""

    preprocess: str | None = like(InputOptions, "preprocess", "the pipeline that is right")
    quant_preprocess: str | None = like(InputOptions, "quant_preprocess", "the pipeline of --quant")
    fed: str | None = like(CompareOptions, "fed", "the tensor that was really fed")
    reference: str | None = option(
        None,
        "what should have been fed",
        "--reference",
        kind=values.text("TENSOR"),
        group=INPUT,
    )
    calibration: str | None = option(
        None,
        "folder, archive or LMDB that calibration used",
        "--calibration",
        kind=values.text("SET"),
        group=INPUT,
    )
    shape: tuple[int, ...] | None = like(InputOptions, "shape", "shape of raw .bin tensors")
    dtype: str | None = like(InputOptions, "dtype", "data type of raw .bin tensors")
    float_model: str | None = option(
        None,
        "the float model: its first nodes, and the effect on its output",
        "--float",
        "--model",
        kind=values.text("FLOAT"),
        group=MODELS,
    )
    quant_model: str | None = option(
        None,
        "its twin, or a toolchain's file that says how it is quantized",
        "--quant",
        kind=values.text("QUANT"),
        group=MODELS,
    )
    output: str | None = option(
        None,
        "the picture that probe writes",
        "-o",
        "--output",
        kind=values.text("FILE"),
        group=OUTPUT,
    )
    size: str | None = option(
        None,
        "its size, for instance 1013x757",
        "--size",
        kind=values.text("SIZE"),
        group=OUTPUT,
    )
