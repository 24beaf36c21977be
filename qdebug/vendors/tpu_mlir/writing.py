"""TPU-MLIR: a calibration table with other thresholds, and the quantization table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from qdebug.encodings.model import Encoding
from qdebug.encodings.source import Source
from qdebug.errors import UsageError
from qdebug.graph.operators import WEIGHTED
from qdebug.vendors.encodings import Change, Writer, Written
from qdebug.vocabulary.numbers import plural

FUSED = frozenset({"Relu", "Clip"})
"""Activations that TPU-MLIR computes with what is before them."""
_UNCHECKED = (
    "TPU-MLIR names a product after the Relu or Clip behind it, and passes over a row with another "
    "name: give its calibration table with --names and the float model with --float"
)
_HEADING = "# op_name    threshold    min    max"


def write_qtable(change: Change) -> Written:
    """The layers to keep in float, one row each; TPU-MLIR takes F32, F16, BF16 and INT8."""
    if not change.keep:
        raise UsageError(
            "nothing is to be kept in float: a quantization table says nothing else",
            "for other ranges, write the calibration table: --as cali_table",
        )
    names, notes = _table_names(change)
    if not names:
        raise UsageError(
            f"the calibration table has no row for any of the {len(change.keep)} layers",
            "with --float FLOAT, a product is found by the activation behind it",
        )
    rows = [f"{name} F16" for name in names]
    return Written(("\n".join(["# op_name   quantize_mode", *rows]) + "\n").encode(), notes)


def _table_names(change: Change) -> tuple[list[str], tuple[str, ...]]:
    """The layers in TPU-MLIR's names: as its calibration table has them, where that was given.

    A product is named after the activation that is computed with it.
    """
    names = {layer: f"{layer.tensor}_{layer.op}" for layer in change.keep}
    if change.base is None:
        products = any(layer.op in WEIGHTED for layer in change.keep)
        return list(names.values()), (_UNCHECKED,) if products else ()
    known = {line.split()[0] for _, line in change.base.lines()}
    for layer, name in names.items():
        readers = change.float_graph.readers.get(layer.tensor, []) if change.float_graph else []
        behind = [f"{n.outputs[0]}_{n.op}" for n in readers if n.op in FUSED]
        if name not in known and len(readers) == 1 and behind and behind[0] in known:
            names[layer] = behind[0]
    missing = [name for name in names.values() if name not in known]
    notes = [
        f"the table has no row for {name}: it is computed as a part of another layer"
        for name in missing
    ]
    return list(dict.fromkeys(n for n in names.values() if n in known)), tuple(notes)


def write_cali_table(change: Change) -> Written:
    """The thresholds of all tensors, or a given table with those changed that shall be."""
    written = _thresholds(change) if change.base is None else _changed(change, change.base)
    if not change.keep:
        return written
    told = (
        f"{plural(len(change.keep), 'layer')} to keep in float: that stands in the quantization "
        "table (--as qtable), not in this one"
    )
    return replace(written, notes=(*written.notes, told))


def _thresholds(change: Change) -> Written:
    rows, left = [], 0
    for entry in replace(change, keep=()).changed().entries:
        row = _row(change, entry.name, entry.encoding) if entry.kind == "tensor" else ""
        rows += [row] if row else []
        left += not row and entry.kind == "tensor"
    if not rows:
        raise UsageError(
            "no range is known that a calibration table could hold",
            "give a run or a graph with 8-bit ranges, one scale for each tensor",
        )
    notes = (
        [f"{left} tensors with 16 bits or a scale for each channel are left out"] if left else []
    )
    return Written("\n".join([_HEADING, *rows, ""]).encode(), tuple(notes))


def _row(change: Change, tensor: str, encoding: Encoding) -> str:
    """A row; empty where TPU-MLIR's symmetric 8 bits cannot hold the encoding."""
    layer = change.layer_of(tensor)
    if not encoding.is_linear or encoding.bits != 8 or encoding.quantizer().scale.ndim:
        return ""
    quantizer = encoding.quantizer()
    low, high = quantizer.real_range
    # With zero point 0 a threshold is the largest code's value; -128 reaches a step further.
    reach = high if not int(quantizer.zero_point) else max(abs(low), abs(high))
    name = f"{tensor}_{layer.op}" if layer is not None else tensor
    return f"{name} {reach:.7f} {min(low, 0.0):.7f} {high:.7f}"


def _changed(change: Change, base: Source) -> Written:
    """The table as it is, but for the thresholds of some rows; without any, byte for byte."""
    wanted = {f"{x.layer.tensor}_{x.layer.op}": max(abs(x.low), abs(x.high)) for x in change.ranges}
    text = base.text
    if text is None:
        raise base.fault("it is no calibration table")
    missing = set(wanted) - {line.split()[0] for _, line in base.lines()}
    lines = text.splitlines(keepends=True)
    content = "".join(_with_threshold(line, wanted) for line in lines)
    notes = tuple(f"the table has no row for {name}" for name in sorted(missing))
    return Written(content.encode() if wanted else base.content, notes)


def _with_threshold(line: str, wanted: dict[str, float]) -> str:
    words = line.split()
    if len(words) != 4 or words[0] not in wanted:
        return line
    return line.replace(f" {words[1]} ", f" {wanted[words[0]]:.7f} ", 1)


def writers() -> Iterator[Writer]:
    """What TPU-MLIR can be given."""
    yield Writer("qtable", "TPU-MLIR quantization table", ("qtable", "qtable.txt"), write_qtable)
    yield Writer("cali_table", "TPU-MLIR calibration table", ("cali_table",), write_cali_table)
