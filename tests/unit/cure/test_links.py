"""Whole blocks against scattered layers: where values have to be converted."""

from __future__ import annotations

from pathlib import Path

from qdebug.cure.sites import count_converts, find_links
from tests.support.tunable import tiny_inputs, tiny_network

CHAIN = {(0, 1), (1, 2), (2, 3), (3, 4)}


def test_a_block_needs_fewer_conversions_than_scattered_units() -> None:
    assert count_converts(CHAIN, {1, 2, 3}) == 2
    assert count_converts(CHAIN, {1, 3}) == 4
    assert count_converts(CHAIN, set()) == count_converts(CHAIN, {0, 1, 2, 3, 4}) == 0


def test_a_tensor_is_converted_once_for_all_readers_of_one_width() -> None:
    fan = {(0, 1), (0, 2), (0, 3)}
    assert count_converts(fan, {0}) == 1
    assert count_converts(fan, {1, 2}) == 1


def test_links_follow_the_operators(tmp_path: Path) -> None:
    network = tiny_network(tmp_path)
    units = network.units(tiny_inputs(1)[0])
    links = find_links(network.quant_graph, network.sites, units)
    names = {(units[a].label, units[b].label) for a, b in links}
    assert names
    assert all(a != b for a, b in names)
    assert {a for a, _ in names} | {b for _, b in names} <= {unit.label for unit in units}
