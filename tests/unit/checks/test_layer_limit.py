"""``layer-limit``, and the limits it holds layers against."""

from __future__ import annotations

import pytest

from qdebug.checks.check import run_check
from qdebug.checks.layer_limit import layer_limit
from qdebug.limits import LayerLimit
from qdebug.run.model import Finding, Limit, Run
from tests.support import synthetic_run
from tests.support.contexts import check_context, recorded


@pytest.fixture(scope="module")
def run() -> Run:
    return synthetic_run()


def _findings(run: Run, *limits: LayerLimit) -> list[Finding]:
    context = check_context(joined=recorded(run.layers), layer_limits=limits)
    return run_check(layer_limit, context)


def _at_least(match: str, value: float) -> LayerLimit:
    return LayerLimit(match, (Limit("sqnr_db", value, "min", "qdebug.toml"),))


def test_without_limits_it_does_not_apply(run: Run) -> None:
    assert [finding.status for finding in _findings(run)] == ["not_applicable"]


def test_layers_beyond_their_limit_are_named(run: Run) -> None:
    (finding,) = _findings(run, _at_least("/model.18/*", 18.0))
    low = [
        x
        for x in run.layers
        if x.name.startswith("/model.18/") and x.accumulated and x.accumulated.sqnr_db < 18.0
    ]
    assert low
    assert finding.status == "fail"
    assert finding.layers == tuple(x.index for x in low)
    assert low[0].accumulated is not None
    assert f"#{low[0].index} {low[0].name}: accumulated SQNR" in finding.seen
    assert finding.seen.endswith("< 18 dB")
    assert len(finding.evidence[0].data["rows"]) == len(low)


def test_layers_within_their_limit_pass(run: Run) -> None:
    assert [x.status for x in _findings(run, _at_least("/model.18/*", 10.0))] == ["pass"]


def test_upper_limits_and_undefined_values(run: Run) -> None:
    (finding,) = _findings(run, LayerLimit("*", (Limit("rel_l2", 1e9, "max"),)))
    states = {run.layers[index].state for index in finding.layers}
    assert states == {"nonfinite", "zero_float"}


def test_a_pattern_that_matches_nothing_is_told(run: Run) -> None:
    (finding,) = _findings(run, _at_least("/modle.18/*", 10.0))
    assert finding.status == "warn"
    assert "'/modle.18/*'" in finding.seen


def test_patterns_match_nodes_and_tensors_by_case(run: Run) -> None:
    layer = run.layers[0]
    assert _at_least(layer.name, 0).applies_to(layer)
    assert _at_least(layer.float_tensor, 0).applies_to(layer)
    assert _at_least("/model.?/conv/C*", 0).applies_to(layer)
    assert not _at_least(layer.name.upper(), 0).applies_to(layer)


@pytest.mark.parametrize(
    ("limit", "good", "bad"),
    [(Limit("cosine", 0.9, "min"), 0.9, 0.8), (Limit("mse", 0.5, "max"), 0.5, 0.6)],
)
def test_a_limit_includes_its_own_value_and_never_nan(
    limit: Limit, good: float, bad: float
) -> None:
    assert not limit.violated_by(good)
    assert limit.violated_by(bad)
    assert limit.violated_by(float("nan"))
