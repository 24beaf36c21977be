"""TPU-MLIR: rows of the quantization table and of the calibration table.

Source: TPU-MLIR's quick start, quantization.
"""

from __future__ import annotations

from collections.abc import Sequence

from qdebug.vendors.advice import Advice, BetterRange, FloatLayer


def keep(layers: Sequence[FloatLayer]) -> str:
    """Write rows of the quantization table."""
    lines = [f"{layer.tensor}_{layer.op} F16" for layer in layers]
    return "\n".join(["# op_name   quantize_mode", *lines])


def calibrate(item: BetterRange) -> str:
    """A row of the calibration table; the threshold serves the symmetric form."""
    threshold = max(abs(item.low), abs(item.high))
    name = f"{item.layer.tensor}_{item.layer.op}"
    row = f"{name} {threshold:.7f} {item.low:.7f} {item.high:.7f}"
    return f"# op_name    threshold    min    max\n{row}"


ADVICE = Advice(
    keep_title="TPU-MLIR: qtable",
    keep_file="qtable.txt",
    language="text",
    keep=keep,
    calibrate=calibrate,
    settings_language="text",
)
