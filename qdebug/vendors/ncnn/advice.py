"""ncnn: lines of its calibration table, and ``ncnn2table``.

Source: its ``quantized-int8-inference.md``.
"""

from __future__ import annotations

from collections.abc import Sequence

from qdebug.graph.operators import WEIGHTED
from qdebug.vendors.advice import Advice, BetterRange, FloatLayer


def keep(layers: Sequence[FloatLayer]) -> str:
    """Both lines of a layer are needed: with only one gone, its whole operator type is skipped."""
    names = [layer.node for layer in layers if layer.op in WEIGHTED]
    lines = [line for name in names for line in (f"#{name}_param_0 ...", f"#{name} ...")]
    return "\n".join(lines)


def calibrate(item: BetterRange) -> str:
    """Its methods are KL and ACIQ; both choose a threshold below the maximum."""
    more = "more and more varied images in the list" if item.clips else "or method=kl"
    return (
        "ncnn2table model.param model.bin images.txt model.table \\\n"
        f"    mean=[...] norm=[...] shape=[...] pixel=... method=aciq  # {more}"
    )


ADVICE = Advice(
    keep_title="ncnn: lines of the table to comment out",
    keep_file="ncnn.table.txt",
    language="text",
    keep=keep,
    calibrate=calibrate,
)
