"""The list's logic without a screen: order, place, sources, outline."""

from __future__ import annotations

import dataclasses
import math

import pytest

from qdebug.run import modules
from qdebug.run.filter import FilterError
from qdebug.run.model import Run
from qdebug.tui import outline
from qdebug.tui.context import Session
from qdebug.tui.layer_list import SORTS, LayerList


@pytest.fixture
def layers(run: Run) -> LayerList:
    return LayerList(Session(run))


def shown(layers: LayerList) -> list[int]:
    return [layers.layer_at(row).index for row in range(layers.row_count)]


def test_it_begins_in_execution_order(layers: LayerList, run: Run) -> None:
    assert shown(layers) == [layer.index for layer in run.layers]
    assert layers.order_text() == "execution order"


@pytest.mark.parametrize("field", ["sqnr", "local", "sens", "cos", "clipped"])
def test_sorting_puts_the_worst_first_undefined_before_and_missing_last(
    layers: LayerList, field: str
) -> None:
    layers.sort_by(field)
    index = layers.session.index
    numbers = index.numbers(field)[layers.rows]
    missing = index.missing(field)[layers.rows]
    undefined = [math.isnan(v) and not m for v, m in zip(numbers, missing, strict=True)]
    known = [v for v, m in zip(numbers, missing, strict=True) if not m and not math.isnan(v)]
    largest_first = next(large for name, _, large in SORTS if name == field)
    assert known == sorted(known, reverse=largest_first)
    assert undefined == sorted(undefined, reverse=True)
    assert list(missing) == sorted(missing)
    assert sorted(shown(layers)) == sorted(x.index for x in layers.session.run.layers)


def test_sorting_by_the_same_field_turns_the_order_round(layers: LayerList) -> None:
    layers.sort_by("local")
    layers.sort_by("local")
    values = [x.local.sqnr_db for x in map(layers.layer_at, range(layers.row_count)) if x.local]
    assert values == sorted(values, reverse=True)
    assert layers.order_text() == "local, best first"


def test_the_place_survives_a_filter_that_hides_it(layers: LayerList) -> None:
    layers.go(60)
    layers.set_filter("op:Concat")
    row = layers.row_of_current()
    assert layers.layer_at(row).index == min(i for i in shown(layers) if i > 60)
    layers.set_filter("")
    assert layers.layer_at(layers.row_of_current()).index == 60


def test_a_wrong_filter_changes_nothing(layers: LayerList) -> None:
    layers.set_filter("op:Conv")
    before = shown(layers)
    with pytest.raises(FilterError):
        layers.set_filter("sqrn<3")
    assert shown(layers) == before


def test_next_source_visits_every_source_and_goes_round(layers: LayerList, run: Run) -> None:
    broken = ("zero_quant", "zero_float", "nonfinite")
    expected = [x.index for x in run.layers if x.role == "source" or x.state in broken]
    assert len(expected) >= 4
    seen = []
    layers.go(0)
    for _ in expected:
        row = layers.next_source(1)
        assert row is not None
        layers.go(row)
        seen.append(layers.layer_at(row).index)
    assert seen == expected
    assert layers.next_source(1) == layers.rows.tolist().index(expected[0])
    assert layers.first_source() == expected[0]


def test_one_sample_is_shown_and_sorted_by(layers: LayerList, run: Run) -> None:
    layers.sample = 2
    layers.sort_by("sqnr")
    values = [layers.value(layers.layer_at(row)) for row in range(layers.row_count)]
    known = [v for v in values if v is not None and not math.isnan(v)]
    assert known == sorted(known)
    assert layers.value(run.layers[0]) == run.layers[0].sample_sqnr_db[2]


def test_marked_layers_alone(layers: LayerList) -> None:
    layers.session.marks |= {4, 9}
    layers.only_marked = True
    layers.update()
    assert shown(layers) == [4, 9]
    layers.only_marked = False
    layers.set_filter("is:marked")
    assert shown(layers) == [4, 9]


def test_the_outline_holds_every_layer_once(layers: LayerList, run: Run) -> None:
    layers.tree = True
    layers.update()
    leaves = [line.layer for line in layers.outline if line.module is None]
    assert sorted(leaves) == list(range(len(run.layers)))


def test_folding_hides_the_inside_and_jumping_unfolds_it(layers: LayerList, run: Run) -> None:
    layers.tree = True
    layers.update()
    layers.toggle_all()
    assert layers.row_count < 40
    last = run.layers[-1].index
    row = layers.go_to(last)
    assert row is not None
    assert layers.layer_at(row).index == last
    assert layers.outline[row].module is None


def test_an_outline_joins_modules_that_hold_one_module(run: Run) -> None:
    names = ("/a/b/c/Conv", "/a/b/c/Relu", "/d/Add", "plain", "x.y.z")
    layers = [dataclasses.replace(run.layers[0], name=name) for name in names]
    root = modules.build(layers, range(len(layers)))
    labels = [
        (line.depth, line.module.label if line.module else "") for line in outline.rows(root, set())
    ]
    assert labels == [
        (0, "a/b/c"),
        (1, ""),
        (1, ""),
        (0, "d"),
        (1, ""),
        (0, ""),
        (0, "x/y"),
        (1, ""),
    ]
