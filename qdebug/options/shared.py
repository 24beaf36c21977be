"""Options that several commands have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qdebug.options import values
from qdebug.options.entry import Checked, entry, option
from qdebug.quantities import DEFAULT_MEMORY

if TYPE_CHECKING:
    from qdebug.preprocess.implied import SpecLike

INPUT = "input"
MODELS = "models"
MEASURED = "what is measured"
TUNED = "what is tuned"
VERDICT = "verdict"
OUTPUT = "output"
GROUPS = (INPUT, MODELS, MEASURED, TUNED, VERDICT, OUTPUT)
"""Headings of a help text, in its order."""

PYTHON_ONLY = values.OBJECT
"""How an option is read that has no flag and no key."""
FLOAT = entry("the float ONNX model", kind=values.text("FLOAT"))
QUANT = entry(
    "its quantized twin: an ONNX graph, or the file in which a toolchain says how it quantizes",
    kind=values.text("QUANT"),
)
INPUTS = entry(
    "what both run on: pictures, folders, globs, list files, tensor files, or NAME=path",
    kind=values.text("INPUT"),
    many=True,
)


@dataclass(frozen=True, kw_only=True)
class InputOptions(Checked):
    """What models are fed with."""

    preprocess: SpecLike | None = option(
        None,
        "pipeline of pictures: a spec, a preset (imagenet, yolo, ...) or a .toml file; default: "
        "what the model implies, printed with its origin",
        "-p",
        "--preprocess",
        kind=values.SPEC,
        group=INPUT,
        key=True,
    )
    quant_preprocess: SpecLike | None = option(
        None,
        "the same for QUANT where it wants another input",
        "--quant-preprocess",
        kind=values.SPEC,
        group=INPUT,
        key=True,
    )
    shape: tuple[int, ...] | None = option(
        None,
        "shape of raw .bin inputs, for instance 1,3,640,640",
        "--shape",
        kind=values.SHAPE,
        group=INPUT,
    )
    dtype: str | None = option(
        None,
        "data type of raw .bin inputs, for instance float32",
        "--dtype",
        kind=values.text("DTYPE"),
        group=INPUT,
    )
    limit: int | None = option(
        None,
        "use the first N samples only",
        "--limit",
        kind=values.COUNT,
        group=INPUT,
        key=True,
    )


@dataclass(frozen=True, kw_only=True)
class QuantOptions(Checked):
    """What goes with a toolchain's file that is given as QUANT."""

    quant_format: str | None = option(
        None,
        "format of a toolchain's file given as QUANT, for instance cali_table; default: "
        "recognized by its content",
        "--quant-format",
        kind=values.FORMAT,
        group=MODELS,
    )
    qtable: str | Path | None = option(
        None,
        "the toolchain's second table: layers it keeps in float, or in 16 bits",
        "--qtable",
        kind=values.text("FILE"),
        group=MODELS,
    )
    names: str | Path | None = option(
        None,
        "the toolchain's own optimized float graph, or another file of it that tells its names",
        "--names",
        kind=values.text("FILE"),
        group=MODELS,
    )


@dataclass(frozen=True, kw_only=True)
class CutOptions(Checked):
    """How far models are taken."""

    outputs: str | None = option(
        None,
        "tensors or nodes of FLOAT, separated by commas, to take both models up to; default: all "
        "that ONNX Runtime can run: a vendor's own layers at the end are cut off",
        "--outputs",
        kind=values.text("NAME,..."),
        group=MODELS,
    )


@dataclass(frozen=True, kw_only=True)
class MachineOptions(Checked):
    """What of the machine may be used."""

    threads: int | None = option(
        None,
        "threads of ONNX Runtime; default: its own choice",
        "--threads",
        kind=values.AT_ONCE,
        group=MEASURED,
        key=True,
    )
    max_memory: int = option(
        DEFAULT_MEMORY,
        "cap on captured tensors, in bytes or as 512MiB",
        "--max-memory",
        kind=values.SIZE,
        group=MEASURED,
        key=True,
    )


@dataclass(frozen=True, kw_only=True)
class WorkerOptions(Checked):
    """Who shares the samples."""

    workers: int = option(
        1,
        "processes on this machine that share the samples; the numbers are the same",
        "--workers",
        kind=values.AT_ONCE,
        group=MEASURED,
    )
    scheduler: str | None = option(
        None,
        "a Dask cluster that shares the samples, for instance tcp://host:8786",
        "--scheduler",
        kind=values.text("ADDRESS"),
        group=MEASURED,
    )


@dataclass(frozen=True, kw_only=True)
class ProviderOptions(Checked):
    """What the two sides run on."""

    provider: str = option(
        "cpu",
        "execution provider of both sides",
        "--provider",
        kind=values.text("NAME"),
        group=MEASURED,
        key=True,
    )
    float_provider: str | None = option(
        None,
        "the same for FLOAT",
        "--float-provider",
        kind=values.text("NAME"),
        group=MEASURED,
        key=True,
    )
    quant_provider: str | None = option(
        None,
        "the same for QUANT",
        "--quant-provider",
        kind=values.text("NAME"),
        group=MEASURED,
        key=True,
    )

    @property
    def providers(self) -> tuple[str, str]:
        """Execution providers of the float and the quant side."""
        return self.float_provider or self.provider, self.quant_provider or self.provider


@dataclass(frozen=True, kw_only=True)
class GateOptions(Checked):
    """What a verdict leads to."""

    fail_on: str = option(
        "error",
        "which verdicts or findings exit with 1",
        "--fail-on",
        kind=values.choice("error", "warning", "never"),
        group=VERDICT,
        key=True,
    )


@dataclass(frozen=True, kw_only=True)
class WriteOptions(Checked):
    """What is done with files that exist."""

    force: bool = option(False, "replace what exists", "--force", kind=values.SWITCH, group=OUTPUT)


@dataclass(frozen=True, kw_only=True)
class JsonOptions(Checked):
    """The result for programs."""

    json: str | None = option(
        None,
        "also write the result as JSON; - writes it, and nothing else, to stdout",
        "--json",
        kind=values.text("FILE"),
        group=OUTPUT,
    )


@dataclass(frozen=True, kw_only=True)
class ConfigOptions(Checked):
    """Where settings come from."""

    config: str | None = option(
        None,
        "settings; default: the nearest qdebug.toml or [tool.qdebug]; none ignores them",
        "--config",
        kind=values.text("FILE"),
        group=INPUT,
    )
