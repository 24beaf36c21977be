"""Channels whose weights are all zero."""

from __future__ import annotations

from tests.support.checked import finding, planted_run, table_of


def test_a_channel_without_weights_is_a_remark() -> None:
    found = finding(planted_run("12 all-zero channel")[1], "dead-channel")
    assert found.status == "info"
    ((_, channels, count),) = table_of(found, "Channels without weights")
    assert (channels, count) == ("0", 1)
