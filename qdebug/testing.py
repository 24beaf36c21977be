"""Assertions for the tests of model repositories.

>>> import qdebug
>>> from qdebug.testing import assert_layers_close, assert_no_regression
>>> run = qdebug.compare("float.onnx", "int8.onnx", "shots")  # doctest: +SKIP
>>> assert_layers_close(run, sqnr_db=20, where="op:Conv")  # doctest: +SKIP
>>> assert_no_regression(run, "baseline.qdrun")  # doctest: +SKIP
"""

from __future__ import annotations

import math
from pathlib import Path

from qdebug.run.diff import DiffLimits, FindingDiff, LayerDiff, OutputDiff, diff_runs
from qdebug.run.filter import LayerIndex, parse_filter
from qdebug.run.model import Layer, Run
from qdebug.run.store import load_run
from qdebug.vocabulary.states import BROKEN

__all__ = ["assert_layers_close", "assert_no_regression"]

_LISTED = 10
_JUDGED = ("ok", *BROKEN)


def assert_layers_close(
    run: Run | str | Path,
    *,
    sqnr_db: float | None = 20.0,
    local_sqnr_db: float | None = None,
    cosine: float | None = None,
    where: str = "",
) -> Run:
    """Assert that layers of a run hold limits; layers with NaN or a dead side never do.

    Layers without a verdict (low signal, zero on both sides, not compared) are not judged, and
    neither are identical ones.

    Args:
        run: a run, or where one is stored.
        sqnr_db: least accumulated SQNR in dB; None for no limit.
        local_sqnr_db: least local SQNR in dB; None for no limit.
        cosine: least accumulated cosine; None for no limit.
        where: which layers, in the filter language of the browser; all by default.

    Returns:
        The run.

    Raises:
        AssertionError: names the layers that fail, worst first. Also when ``where`` selects none.
        QdebugError: the run cannot be loaded, or ``where`` is not a filter.
    """
    __tracebackhide__ = True
    loaded = _loaded(run)
    chosen = parse_filter(where).select(LayerIndex(loaded.layers, loaded.findings))
    if not chosen:
        raise AssertionError(f"no layer to judge: the filter {where!r} selects none of the run's")
    problems = [
        (level, f"#{layer.index} {layer.name}: {reason}")
        for layer in chosen
        if layer.state in _JUDGED
        for level, reason in [_problem(layer, sqnr_db, local_sqnr_db, cosine)]
        if reason
    ]
    if problems:
        lines = [line for _, line in sorted(problems, key=lambda problem: problem[0])]
        raise AssertionError(_listed(f"{len(problems)} of {len(chosen)} layers are too far", lines))
    return loaded


def assert_no_regression(
    run: Run | str | Path, baseline: Run | str | Path, limits: DiffLimits | None = None
) -> None:
    """Assert that a run is no worse than an earlier one, as ``qdebug diff`` judges it.

    Args:
        run: a run, or where one is stored.
        baseline: the earlier one.
        limits: what counts as a regression.

    Raises:
        AssertionError: names the outputs, layers and findings that regressed.
        QdebugError: a run cannot be loaded.
    """
    __tracebackhide__ = True
    diff = diff_runs(_loaded(baseline), _loaded(run), limits)
    if diff.regressions:
        lines = [_regression(item) for item in diff.regressions]
        raise AssertionError(_listed(f"{len(lines)} regressions", [*diff.caveats, *lines]))


def _loaded(run: Run | str | Path) -> Run:
    return run if isinstance(run, Run) else load_run(run)


def _problem(
    layer: Layer, sqnr_db: float | None, local_sqnr_db: float | None, cosine: float | None
) -> tuple[float, str]:
    """How bad a layer is (lower is worse), and why; an empty reason where it is good."""
    accumulated = layer.accumulated
    if accumulated is None:
        return math.inf, ""
    if layer.state in BROKEN:
        return -math.inf, f"{layer.state}: {layer.reason or 'no usable value'}"
    measured = (
        ("accumulated SQNR", accumulated.sqnr_db, sqnr_db, " dB"),
        ("local SQNR", layer.local.sqnr_db if layer.local else None, local_sqnr_db, " dB"),
        ("accumulated cosine", accumulated.cosine, cosine, ""),
    )
    reasons = [
        f"{name} {'not measured' if value is None else f'{value:.6g}{unit}'}, limit {limit:g}{unit}"
        for name, value, limit, unit in measured
        if limit is not None and (value is None or not value >= limit)
    ]
    return accumulated.sqnr_db, "; ".join(reasons)


def _regression(item: OutputDiff | LayerDiff | FindingDiff) -> str:
    if isinstance(item, FindingDiff):
        return f"finding {item.id} {item.slug}: {item.title}"
    kind = "output" if isinstance(item, OutputDiff) else f"layer #{item.new}"
    old, new = (
        "nothing" if value is None else f"{value:.1f} dB"
        for value in (item.accumulated.old, item.accumulated.new)
    )
    return f"{kind} {item.name}: accumulated SQNR {old}, now {new}"


def _listed(title: str, lines: list[str]) -> str:
    more = [f"and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return "\n  ".join([title, *lines[:_LISTED], *more])
