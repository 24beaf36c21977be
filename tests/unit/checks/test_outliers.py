"""Channels that set the range of all others."""

from __future__ import annotations

from tests.support.checked import finding, layer_names, sample_run

EARLY = "/features/features.1/dw/conv/Conv"


def test_the_outlier_channel_is_named_and_explains_the_wide_range() -> None:
    run = sample_run("classifier-outlier-channel")
    found = finding(run, "outlier-channel")
    assert (found.status, layer_names(run, found)) == ("fail", [EARLY])
    assert found.title.startswith(f"{EARLY}: channel ")
    wide = finding(run, "range-too-wide")
    assert wide.status == "info"
    assert "QD403 outlier-channel" in wide.seen
    bars = next(e.data for e in found.evidence if e.kind == "bars")
    assert bars["values"][0] > 8 * bars["values"][1]


def test_without_it() -> None:
    assert finding(sample_run("classifier-int8"), "outlier-channel").status == "pass"
