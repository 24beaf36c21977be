"""Horizon: the calibrated graph, its table of thresholds, and the tables of precision it takes.

Source: files that hmct 1.1.0 wrote; D-Robotics' templates of ``hb_mapper`` (X3, X5) and hmct's
documentation of ``quant_config`` (J6, S100).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qdebug.encodings.model import Encoding, Encodings, Entry
from qdebug.encodings.rules import Rules
from qdebug.encodings.source import Source
from qdebug.encodings.weights import symmetric
from qdebug.errors import UsageError
from qdebug.graph.validity import name_of
from qdebug.vendors.advice import literal
from qdebug.vendors.encodings import (
    Beside,
    Change,
    Format,
    Target,
    ToolchainEncodings,
    Writer,
    Written,
)
from qdebug.vendors.horizon.calibrated import OPERATORS, expand

_CALIBRATED = "_calibrated"
_NAMES = (
    "names must be those of *_optimized_float_model.onnx: give it with --names if layers are not "
    "found"
)


def is_quant_info(source: Source) -> bool:
    """Whether a file is hmct's ``*_quant_info.json``."""
    if '"thresholds"' not in source.head or not isinstance(source.json, dict):
        return False
    return all(isinstance(node, dict) and "thresholds" in node for node in source.json.values())


def read_quant_info(source: Source, beside: Beside) -> Encodings:
    """Read the thresholds of what nodes read.

    Raises:
        EncodingsError: a threshold is not above zero, or an entry is not understood.
    """
    del beside
    entries: dict[str, Entry] = {}
    for label, node in source.json.items():
        with source.understanding(name_of(label)):
            for tensor, thresholds in zip(node["inputs"], node["thresholds"], strict=False):
                if thresholds:
                    name = tensor.removesuffix(_CALIBRATED)
                    entries.setdefault(name, _entry(source, name, thresholds))
    return Encodings(source.checked(list(entries.values())))


def _entry(source: Source, name: str, thresholds: list[Any]) -> Entry:
    values = [
        source.number(str(value), f"the threshold of {name_of(name)}") for value in thresholds
    ]
    lowest = min(values)
    if lowest <= 0:
        raise source.fault(f"the threshold of {name_of(name)} is {lowest:g}; it must be above zero")
    return Entry(name, Encoding.linear("int8", [value / 127 for value in values], 0, 1))


def _refuse_without_layers(change: Change) -> None:
    if change.keep:
        return
    if change.ranges:
        raise UsageError(
            "Horizon's tools take no range for a single tensor",
            "calibrate again with calibration_type 'max', or with max_percentile",
        )
    raise UsageError("nothing is to be kept out of 8 bits: there is nothing to write")


def _notes(change: Change) -> tuple[str, ...]:
    left = (f"{len(change.ranges)} better ranges are left out: Horizon takes none",)
    return (*(left if change.ranges else ()), _NAMES)


def write_node_info(change: Change) -> Written:
    """``node_info`` of hb_mapper's yaml: int16 for the layers; X5 and bayes-e."""
    _refuse_without_layers(change)
    wide = {"ON": "BPU", "InputType": "int16", "OutputType": "int16"}
    rows = [f"    {literal(layer.node)}: {json.dumps(wide)}" for layer in change.keep]
    text = "model_parameters:\n  node_info: {\n" + ",\n".join(rows) + "\n  }\n"
    return Written(text.encode(), _notes(change))


def write_run_on_cpu(change: Change) -> Written:
    """``run_on_cpu`` of hb_mapper's yaml: the layers in float on the processor; X3 and X5."""
    _refuse_without_layers(change)
    names = [layer.node for layer in change.keep]
    split = next((name for name in names if ";" in name), None)
    if split is not None:
        raise UsageError(
            f"the node {split!r} has a semicolon in its name, which separates names in run_on_cpu",
            "write node_info instead: --as node_info",
        )
    text = f"calibration_parameters:\n  run_on_cpu: {literal(';'.join(names))}\n"
    return Written(text.encode(), _notes(change))


def write_quant_config(change: Change) -> Written:
    """The ``quant_config`` of hmct: int16 for the layers; J6 and S100."""
    _refuse_without_layers(change)
    nodes: Mapping[str, Any] = {layer.node: {"qtype": "int16"} for layer in change.keep}
    content = {"model_config": {"all_node_type": "int8"}, "node_config": nodes}
    return Written((json.dumps(content, indent=2) + "\n").encode(), _notes(change))


ENCODINGS = ToolchainEncodings(
    formats=(Format("quant_info", "Horizon quant_info", is_quant_info, read_quant_info),),
    writers=(
        Writer("node_info", "hb_mapper node_info", (".yaml", ".yml"), write_node_info),
        Writer("run_on_cpu", "hb_mapper run_on_cpu", ("run_on_cpu.yaml",), write_run_on_cpu),
        Writer("quant_config", "hmct quant_config", (".json",), write_quant_config),
    ),
    rules=Rules(
        simplify=True,
        weights=symmetric("int8"),
        suffixes=(_CALIBRATED,),
        made={
            r"variable_\d+": "hmct makes this tensor when it rewrites the graph: "
            "*_optimized_float_model.onnx has it (--names)"
        },
        rest="stays float, or is computed with what is before it: no node reads it through a "
        "threshold",
        notes=(
            "quant_info does not say which tensors are unsigned: all are taken as int8; the "
            "calibrated model (*_calibrated_model.onnx) says it",
        ),
    ),
    operators=OPERATORS,
    expand=expand,
    graph_title="Horizon calibrated model",
    target=Target(wide=("16", "float"), ranges=False, symmetric=True),
)
