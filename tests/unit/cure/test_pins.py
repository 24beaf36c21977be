"""The units that users name, by node, upstream, downstream and in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdebug.cure.network import Network
from qdebug.cure.pins import pinned_units
from qdebug.cure.sites import Unit
from tests.support.tunable import tiny_inputs, tiny_network


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return tiny_network(tmp_path)


@pytest.fixture
def units(network: Network) -> tuple[Unit, ...]:
    return network.units(tiny_inputs(1)[0])


def names(units: tuple[Unit, ...], found: frozenset[int]) -> set[str]:
    return {units[at].label for at in found}


def test_one_node(network: Network, units: tuple[Unit, ...]) -> None:
    assert names(units, pinned_units(network, units, keep=["pool"])) == {"pool"}


def test_before_and_after_share_the_node_itself(network: Network, units: tuple[Unit, ...]) -> None:
    upstream = names(units, pinned_units(network, units, before=["pool"]))
    downstream = names(units, pinned_units(network, units, after=["pool"]))
    assert upstream & downstream == {"pool"}
    whole = {unit.label for unit in units}
    assert whole - upstream - downstream <= {"images"}


def test_between_is_what_both_have_in_common(network: Network, units: tuple[Unit, ...]) -> None:
    downstream = pinned_units(network, units, after=["relu1"])
    upstream = pinned_units(network, units, before=["pool"])
    assert pinned_units(network, units, between=["relu1:pool"]) == downstream & upstream


def test_nothing_named_is_nothing_pinned(network: Network, units: tuple[Unit, ...]) -> None:
    assert pinned_units(network, units) == frozenset()
