"""ONNX Runtime: the arguments of ``quantize_static``."""

from __future__ import annotations

from collections.abc import Sequence

from qdebug.vendors.advice import Advice, BetterRange, FloatLayer, literal

_ROOM = 80
"""Characters of names on one line."""


def keep(layers: Sequence[FloatLayer]) -> str:
    """Write ``nodes_to_exclude``."""
    rows = [""]
    for word in (f"{literal(layer.node)}," for layer in layers):
        if rows[-1] and len(rows[-1]) + len(word) + 1 > _ROOM:
            rows.append("")
        rows[-1] = f"{rows[-1]} {word}".lstrip(" ")
    names = "".join(f"        {row}\n" for row in rows)
    return (
        "quantize_static(\n    float_model, quant_model, reader,\n"
        f"    nodes_to_exclude=[\n{names}    ],\n)"
    )


def calibrate(item: BetterRange) -> str:
    """Write an override of the tensor's range."""
    limits = f'[{{"rmin": {_number(item.low)}, "rmax": {_number(item.high)}}}]'
    return (
        "quantize_static(\n    float_model, quant_model, reader,\n"
        '    extra_options={"TensorQuantOverrides": {\n'
        f"        {literal(item.layer.tensor)}: {limits},\n    }}}},\n)"
    )


def _number(value: float) -> str:
    """ONNX Runtime 1.31 fails on Python's own floats here."""
    return f"np.float32({value:.6g})"


ADVICE = Advice(
    keep_title="ONNX Runtime",
    keep_file="quantize.py",
    language="python",
    keep=keep,
    calibrate=calibrate,
    weights="quantize_static(\n    float_model, quant_model, reader,\n    per_channel=True,\n)",
)
