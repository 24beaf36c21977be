"""Default limits on the error at the outputs."""

from __future__ import annotations

from collections.abc import Sequence

from qdebug.run.model import Limit

LEAST_DB = 8.0
"""SQNR below which an output is damaged in any task. By judgement."""
DEFAULT_LIMITS = (Limit("cosine", 0.9, "min"), Limit("sqnr_db", LEAST_DB, "min"))
"""Below these an output is damaged in any task. They are no promise of accuracy above.

By judgement: an error of independent noise at 8 dB gives a cosine of 0.93.
"""
WARN_LIMITS = (Limit("cosine", 0.99, "min"), Limit("sqnr_db", 15.0, "min"))
"""Below these it depends on the task, where that is not known to be unharmed.

By judgement: an error of independent noise at 15 dB gives a cosine of 0.985.
"""


def output_limits(limits: Sequence[Limit] | None) -> tuple[Limit, ...]:
    """Those of the user's limits that are about the outputs; the default ones without any."""
    return tuple(limit for limit in limits or () if not limit.about_task) or DEFAULT_LIMITS


def is_given(limits: Sequence[Limit] | None) -> bool:
    """Whether the user gave limits on the outputs."""
    return any(not limit.about_task for limit in limits or ())
