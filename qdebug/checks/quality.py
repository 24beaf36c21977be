"""How far a run can be trusted: its samples, and the share of layers it compares.

``few-samples``, ``random-input``, ``low-signal`` and ``unpaired-layers``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.checks.check import Check, CheckContext
from qdebug.checks.sources import dead_outputs
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding, FindingStatus

ENOUGH = 8
"""Samples from which on ranges and the worst sample mean something."""
NOISE = 0.1
"""Neighbouring pixels of a picture correlate far above this, those of noise do not."""
_LOOKED_AT = 256
"""Values along each axis, in the middle, that tell a picture from noise."""
SILENT = 1e-3
"""A sample whose output stays below this share of the largest says nothing."""
NOTEWORTHY, MOST = 0.3, 0.6
"""Shares of layers without a counterpart."""
_EXPECTED = re.compile(r"folded into|.*, not compared$")
"""Reasons of tensors that are fused away, or hold no real numbers, as they should."""


def _few_samples(context: CheckContext) -> Iterator[Finding]:
    count = len(context.samples)
    if count >= ENOUGH:
        return
    yield FEW_SAMPLES.found(
        "info",
        f"{count} sample{'s' if count != 1 else ''} only",
        f"Ranges, clipped values and the worst sample are known for {count} input"
        f"{'s' if count != 1 else ''}; another may leave the ranges that these keep.",
        f"Give at least {ENOUGH} varied inputs before trusting a pass.",
        confidence="high",
    )


def _random_input(context: CheckContext) -> Iterator[Finding]:
    if context.what_if is None:
        return
    noisy = []
    for number, (feeds, _) in enumerate(context.what_if.feeds):
        for name, value in feeds.items():
            if value.ndim == 4 and neighbour_correlation(value) < NOISE:
                noisy.append((context.samples[number].name, name))
    if not noisy:
        return
    yield RANDOM_INPUT.found(
        "warn",
        "The input looks like random numbers",
        f"Neighbouring values of {noisy[0][1]} in {noisy[0][0]} do not correlate; pictures do. "
        "Noise drives a network into ranges that no picture reaches.",
        "Give real inputs, preprocessed as in training.",
        confidence="high",
    )


def neighbour_correlation(image: npt.NDArray[Any]) -> float:
    """Largest correlation of neighbours along any of the axes but the first; 1 for a constant."""
    best = 0.0
    image = image[tuple(_middle(size) for size in image.shape)]
    for axis in range(1, image.ndim):
        if image.shape[axis] < 8:
            continue
        x = np.moveaxis(image, axis, -1).astype(np.float64)
        a, b = x[..., :-1].ravel(), x[..., 1:].ravel()
        a, b = a - a.mean(), b - b.mean()
        power = float(np.sqrt((a @ a) * (b @ b)))
        best = max(best, 1.0 if power == 0 else float(a @ b) / power)
    return best if any(size >= 8 for size in image.shape[1:]) else 1.0


def _middle(size: int) -> slice:
    start = max(0, (size - _LOOKED_AT) // 2)
    return slice(start, start + _LOOKED_AT)


def _low_signal(context: CheckContext) -> Iterator[Finding]:
    dead = {output.name for output in context.once(dead_outputs)}
    quiet = [o.name for o in context.outputs if o.state in ("low_signal", "zero_both")]
    states = [name for name in quiet if name not in dead]
    silent = _silent_samples(context)
    if not states and not silent:
        return
    where = f"Outputs without a signal: {', '.join(states)}. " if states else ""
    names = f"Samples without one: {', '.join(silent[:8])}. " if silent else ""
    yield LOW_SIGNAL.found(
        "info",
        "Some outputs carry no signal on these samples",
        f"{where}{names}The float model finds nothing there either, so their cosine and SQNR say "
        "nothing: no divergence follows from them.",
        "Add inputs on which the model has something to find.",
        confidence="high",
    )


def _silent_samples(context: CheckContext) -> list[str]:
    """Samples on which every output stays far below its largest value over all samples."""
    loud: set[int] = set()
    for output in context.outputs:
        if output.layer is None:
            continue
        moments = context.stats[output.layer].per_sample
        peaks = [max(abs(float(m.min_f[0])), abs(float(m.max_f[0]))) for m in moments]
        floor = SILENT * max(peaks, default=0.0)
        loud |= {i for i, peak in enumerate(peaks) if peak > floor}
    known = any(o.layer is not None for o in context.outputs)
    return [s.name for i, s in enumerate(context.samples) if known and i not in loud]


def _unpaired(context: CheckContext) -> Iterator[Finding]:
    left = [x for x in context.pairing.unpaired_float if not _EXPECTED.match(x.reason)]
    total = len(left) + len(context.pairing.pairs)
    share = len(left) / max(total, 1)
    judged = context.task.result.signal if context.task is not None else ()
    lost = [o.name for o in context.outputs if o.state == "not_compared" and o.name not in judged]
    if share < NOTEWORTHY and not lost:
        return
    reasons = Counter(item.reason for item in left).most_common(8)
    status: FindingStatus = "warn" if lost or share > MOST else "info"
    often = f" Most often: {reasons[0][0]}." if reasons else ""
    outputs = f" Outputs not compared: {', '.join(lost)}." if lost else ""
    yield UNPAIRED.found(
        status,
        f"{len(left)} of {total} float tensors have no counterpart",
        f"{100 * share:.0f} % of the float tensors are not compared.{often}{outputs}",
        "Compare with the float model that was quantized, after the same graph optimization "
        "(`quant_pre_process`).",
        evidence=[
            Evidence(
                "table",
                "Why they are not compared",
                {"columns": ["reason", "tensors"], "rows": [[r, n] for r, n in reasons]},
            )
        ],
        confidence="high",
    )


UNPAIRED = Check(KINDS["unpaired-layers"], _unpaired)
FEW_SAMPLES = Check(KINDS["few-samples"], _few_samples)
RANDOM_INPUT = Check(KINDS["random-input"], _random_input)
LOW_SIGNAL = Check(KINDS["low-signal"], _low_signal)
