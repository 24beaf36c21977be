"""The picture of the network: every layer once, in its module, in its place."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import pytest

from qdebug.reporters.html.layered import ROWS, layout
from qdebug.reporters.html.modules import grouped, network_picture
from qdebug.run.model import Run
from tests.support import synthetic_run


@pytest.fixture(scope="module")
def run() -> Run:
    return synthetic_run(300, samples=2)


def _drawn(picture: str) -> list[int]:
    found = re.findall(r'data-layers="([\d ]+)"', picture)
    return sorted(int(index) for part in found for index in part.split())


def _renamed(run: Run, name: str) -> Run:
    layers = tuple(dataclasses.replace(x, name=name.format(x.index)) for x in run.layers)
    return dataclasses.replace(run, layers=layers)


class TestGroups:
    def test_every_layer_is_in_one_module(self, run: Run) -> None:
        inside = [x.index for _, layers in grouped(run.layers) for x in layers]
        assert sorted(inside) == [x.index for x in run.layers]

    @pytest.mark.parametrize("name", ["Conv_{}", "block_{}/Conv", "", "x"])
    def test_names_without_structure_are_cut_by_number(self, run: Run, name: str) -> None:
        found = grouped(_renamed(run, name).layers)
        assert [label for label, _ in found] == ["#0 to #99", "#100 to #199", "#200 to #299"]

    def test_a_large_module_is_shown_by_those_in_it(self, run: Run) -> None:
        layers = [
            dataclasses.replace(x, name=f"net/{'ab'[x.index >= 150]}/{x.index}") for x in run.layers
        ]
        assert [label for label, _ in grouped(layers)] == ["net/a", "net/b"]

    def test_layers_between_modules_stand_between_them(self, run: Run) -> None:
        names = ["/a/x", "/a/y", "/Concat", "/b/x", "/Concat_1", "/c/x"]
        layers = [
            dataclasses.replace(layer, name=name)
            for layer, name in zip(run.layers, names, strict=False)
        ]
        assert [label for label, _ in grouped(layers)] == ["a", "/Concat", "b", "/Concat_1", "c"]


class TestLayout:
    def test_what_feeds_something_stands_to_its_left(self) -> None:
        inputs = [[], [0], [0], [1, 2], [3, 0]]
        places = layout(inputs, 50)
        for node, given in enumerate(inputs):
            assert all(places[i].column < places[node].column for i in given)
        assert len({(p.column, p.row) for p in places}) == len(places)

    @pytest.mark.parametrize(
        "inputs", [[[]] * 100, [[], *([0],) * 100], [[i - 1] if i else [] for i in range(120)]]
    )
    def test_no_two_share_a_place_and_it_stays_low(self, inputs: Sequence[Sequence[int]]) -> None:
        places = layout(inputs, 10)
        assert len(set(places)) == len(inputs)
        assert all(p.row < ROWS and p.column < 10 for p in places)

    def test_an_input_that_comes_later_is_ignored(self) -> None:
        assert len(layout([[1], [0]], 5)) == 2


class TestPicture:
    def test_every_layer_is_drawn_once(self, run: Run) -> None:
        picture = network_picture(run, ())
        drawn = [i for group in picture.groups for i in _drawn(group.figure)]
        assert sorted(drawn) == [x.index for x in run.layers]

    def test_links_lead_to_cards_only(self, run: Run) -> None:
        picture = network_picture(run, {3, 200})
        links = re.findall(r'href="#layer-(\d+)"', "".join(g.figure for g in picture.groups))
        assert sorted(map(int, links)) == [3, 200]
        modules = re.findall(r'href="#module-(\d+)"', picture.overview)
        assert [int(number) for number in modules] == list(range(len(picture.groups)))

    def test_a_dead_layer_is_as_dark_as_can_be(self, run: Run) -> None:
        broken = dataclasses.replace(run.layers[7], state="zero_quant")
        changed = dataclasses.replace(run, layers=(*run.layers[:7], broken, *run.layers[8:]))
        for group in network_picture(changed, ()).groups:
            for opacity, indices in re.findall(
                r'fill-opacity="([\d.]+)"[^>]*data-layers="([\d ]+)"', group.figure
            ):
                assert "7" not in indices.split() or opacity == "1"

    def test_a_module_with_a_cause_is_open(self, run: Run) -> None:
        picture = network_picture(run, ())
        telling = [group for group in picture.groups if "named" in group.marks]
        assert telling
        assert telling[0].is_open
        assert not all(group.is_open for group in picture.groups)

    def test_names_do_not_become_markup(self) -> None:
        hostile = synthetic_run(60, samples=1, hostile_names=True)
        picture = network_picture(hostile, range(60))
        whole = picture.overview + "".join(group.figure for group in picture.groups)
        assert "<script" not in whole
        assert "</script" not in whole
