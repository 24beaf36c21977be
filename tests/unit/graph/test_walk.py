"""Walking through a graph, and the sets of operators, which must hold together."""

from __future__ import annotations

from itertools import islice

import pytest
from onnx import defs

from qdebug.graph import operators
from qdebug.graph.walk import walk

EDGES = {"a": "bc", "b": "d", "c": "d", "d": "be", "e": ""}


def test_every_place_once_and_the_nearest_first() -> None:
    assert list(walk(["a"], EDGES.__getitem__)) == ["a", "b", "c", "d", "e"]
    assert list(walk(["d", "d", "a"], EDGES.__getitem__)) == ["d", "a", "b", "e", "c"]
    assert list(walk([], EDGES.__getitem__)) == []


def test_a_walk_given_up_early_asks_no_further() -> None:
    asked = []

    def onward(place: int) -> list[int]:
        asked.append(place)
        return [place + 1]

    assert list(islice(walk([0], onward), 3)) == [0, 1, 2]
    assert asked == [0, 1]


SETS = {
    name: value
    for name, value in vars(operators).items()
    if isinstance(value, frozenset) and not name.startswith("_")
}


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("LAYOUT", "MOVES_VALUES"),
        ("MOVES_VALUES", "KEEPS_CODES"),
        ("MOVES_VALUES", "KEEPS_MASK"),
        ("BEFORE_INPUT_QUANTIZER", "MOVES_VALUES"),
        ("BETWEEN_Q_AND_DQ_IN_PLACE", "BETWEEN_Q_AND_DQ"),
        ("CLIPPING", "ACTIVATIONS"),
        ("ACTIVATIONS", "ELEMENTWISE"),
        ("ELEMENTWISE", "KEEPS_CHANNEL_AXIS"),
        ("NEUTRAL", "ELEMENTWISE"),
    ],
)
def test_what_has_the_narrow_property_has_the_wide_one(narrow: str, wide: str) -> None:
    assert SETS[narrow] <= SETS[wide]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("WEIGHTED", "KEEPS_CODES"),
        ("WEIGHTED", "ELEMENTWISE"),
        ("QUANTIZE_OPS", "DEQUANTIZE_OPS"),
        ("QUANTIZE_OPS", "FAKE_QUANTIZE_OPS"),
        ("CHANNELS_ON_AXIS_1", "CHANNELS_ON_LAST_AXIS"),
        ("CHANNELS_ON_AXIS_1", "KEEPS_CHANNEL_AXIS"),
        ("RANDOM_OPS", "KEEPS_CHANNEL_AXIS"),
    ],
)
def test_what_has_one_property_has_not_the_other(one: str, other: str) -> None:
    assert not SETS[one] & SETS[other]


OF_RUNTIMES = {
    *"NhwcMaxPool FusedConv FusedMatMul FastGelu BiasGelu QuickGelu".split(),
    "EmbedLayerNormalization",
    *"MultiHeadAttention SkipLayerNormalization QGemm QAttention AscendDequant".split(),
    *"MatMulNBits MatMulBnb4 GatherBlockQuantized DynamicQuantizeMatMul".split(),
    *"DynamicQuantizeLSTM MatMulInteger16".split(),
    *(operators.QUANTIZE_OPS | operators.DEQUANTIZE_OPS | operators.FAKE_QUANTIZE_OPS),
}


@pytest.mark.parametrize("name", [name for name in SETS if not name.endswith("FAMILIES")])
def test_every_operator_exists(name: str) -> None:
    known = {schema.name for schema in defs.get_all_schemas()}
    assert SETS[name] - known - OF_RUNTIMES == set()


@pytest.mark.parametrize("name", [name for name in SETS if name.endswith("FAMILIES")])
def test_a_family_is_its_own(name: str) -> None:
    assert {operators.family_of(family) for family in SETS[name]} == SETS[name]
