"""RKNN-Toolkit2: hybrid quantization, and the arguments of ``rknn.config``.

Source: its hybrid quantization example.
"""

from __future__ import annotations

from collections.abc import Sequence

from qdebug.vendors.advice import Advice, BetterRange, FloatLayer


def keep(layers: Sequence[FloatLayer]) -> str:
    """Write lines of ``custom_quantize_layers``."""
    lines = [f"    {layer.tensor}: float16" for layer in layers]
    return "\n".join(["custom_quantize_layers:", *lines])


def calibrate(item: BetterRange) -> str:
    """The ranges of its cfg must not be edited: step 2 refuses that."""
    method = "normal" if item.clips else "mmse"
    return f'rknn.config(quantized_algorithm="{method}", ...)'


ADVICE = Advice(
    keep_title="RKNN: hybrid quantization cfg, lines to add",
    keep_file="quantization.cfg",
    language="yaml",
    keep=keep,
    calibrate=calibrate,
    weights='rknn.config(quantized_method="channel", ...)',
)
