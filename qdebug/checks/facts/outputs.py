"""The outputs in parts, where few loud channels hide what the others lose."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from qdebug.analysis.what_if import Part
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.codes import UNLIKE_TIMES
from qdebug.metrics.metric import sqnr_db

MIN_VALUES = 16
"""Of fewer values no root mean square is taken. By judgement."""


def quiet_channels(context: CheckContext, at: int) -> tuple[int, ...]:
    """Channels of a layer that disappear in every number of the whole.

    Their root mean square is ``UNLIKE_TIMES`` below the strongest channel's.
    """
    moments = context.layer(at).moments
    if moments is None or len(moments) < 2 or float(moments.n.min()) < MIN_VALUES:
        return ()
    power = moments.ff / moments.n
    quiet = np.flatnonzero(power * UNLIKE_TIMES**2 <= power.max())
    return tuple(quiet.tolist())


def output_parts(context: CheckContext) -> list[Part]:
    """The outputs, in parts where some of their channels are quiet and may be a signal.

    Outputs that decide nothing on these samples are left out where others do.
    """
    task = context.task
    names = [o.name for o in context.outputs if task is None or not task.is_quiet(o.name)]
    empty = context.task is not None and not context.task.decisions
    return [Part(name) for name in names] if empty else split_parts(context, names)


def split_parts(context: CheckContext, outputs: Iterable[str]) -> list[Part]:
    """The quiet channels of some outputs, and the rest of them."""
    parts: list[Part] = []
    for output in context.outputs:
        if output.name not in outputs or output.layer is None:
            continue
        quiet = quiet_channels(context, output.layer)
        moments = context.layer(output.layer).moments
        if not quiet or moments is None:
            parts.append(Part(output.name))
            continue
        loud = tuple(sorted(set(range(len(moments))) - set(quiet)))
        parts += [Part(output.name, loud), Part(output.name, quiet)]
    return parts


def part_db(context: CheckContext, part: Part) -> float:
    """SQNR of a part of an output over all samples of the run, dB."""
    layer = next(o.layer for o in context.outputs if o.name == part.output)
    moments = context.layer(layer).moments if layer is not None else None
    if moments is None:
        return float("nan")
    chosen = moments if part.channels is None else moments.rows(part.channels)
    return float(sqnr_db(chosen.total())[0])


def lowest_output_db(context: CheckContext) -> float:
    """SQNR of the worst part of an output, dB; ``inf`` where none was compared."""
    compared = {o.name for o in context.outputs if o.accumulated is not None}
    parts = [part for part in context.once(output_parts) if part.output in compared]
    known = [part_db(context, part) for part in parts]
    return min((-np.inf if np.isnan(v) else v for v in known), default=np.inf)
