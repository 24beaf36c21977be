"""``runtime-mismatch``: graph optimizations change the answer."""

from __future__ import annotations

import math
from collections.abc import Iterator

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.effect import DAMAGED_DB, FAIL_GAIN_DB
from qdebug.checks.facts.limits import LEAST_DB
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding, FindingStatus, OutputResult


def _runtime_mismatch(context: CheckContext) -> Iterator[Finding]:
    for output in context.outputs:
        worse = _worse(output)
        if worse is None or (context.task is not None and context.task.is_quiet(output.name)):
            continue
        declared, deployed = worse
        status: FindingStatus = "fail" if deployed < LEAST_DB <= declared else "warn"
        runtime = output.runtime.sqnr_db if output.runtime is not None else math.nan
        yield RUNTIME.found(
            status,
            f"Output {output.name}: optimizations change the answer",
            f"Against the float model the quant model has {declared:.1f} dB as it is written and "
            f"{deployed:.1f} dB with all graph optimizations; the two agree to {runtime:.1f} dB.",
            "Find the optimization: set `session.disable_quant_qdq` to 1, or disable optimizers by "
            "name (`disabled_optimizers`), until the answer returns; report it to the runtime.",
            layers=[] if output.layer is None else [output.layer],
            confidence="medium",
        )


def _worse(output: OutputResult) -> tuple[float, float] | None:
    """Declared and deployed SQNR, where the deployed one is much worse, and bad.

    The two are of different samples where only some were run as deployed. On the same samples the
    deployed error is at most the declared one plus the difference of the two (triangle inequality):
    where that difference is less than half of it, it is not what makes the answer bad.
    """
    if output.accumulated is None or output.deployed is None:
        return None
    declared, deployed = output.accumulated.sqnr_db, output.deployed.sqnr_db
    if math.isnan(deployed):
        return None if math.isnan(declared) else (declared, -math.inf)
    bad = deployed < min(declared - FAIL_GAIN_DB, DAMAGED_DB)
    if output.runtime is not None and output.runtime.sqnr_db > deployed + FAIL_GAIN_DB:
        return None
    return (declared, deployed) if bad else None


def _was_deployed(context: CheckContext) -> str | None:
    if any(o.deployed is not None for o in context.outputs):
        return None
    return "no output was compared as deployed"


RUNTIME = Check(KINDS["runtime-mismatch"], _runtime_mismatch, _was_deployed)
