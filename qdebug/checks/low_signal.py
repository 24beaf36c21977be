"""``low-signal``: samples on which the float model finds nothing."""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.capture.state import SILENT_SHARE
from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.dead import dead_outputs
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding


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
        moments = context.layer(output.layer).stats.per_sample
        peaks = [max(abs(float(m.min_f[0])), abs(float(m.max_f[0]))) for m in moments]
        floor = SILENT_SHARE * max(peaks, default=0.0)
        loud |= {i for i, peak in enumerate(peaks) if peak > floor}
    known = any(o.layer is not None for o in context.outputs)
    return [s.name for i, s in enumerate(context.samples) if known and i not in loud]


LOW_SIGNAL = Check(KINDS["low-signal"], _low_signal)
