"""The filter language: what each word selects, and how it fails."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest

from qdebug.run.filter import FilterError, LayerIndex, parse_filter, while_typing
from qdebug.run.layer_fields import FIELDS
from qdebug.run.model import Layer, Run
from tests.support.synthetic import synthetic_run


@pytest.fixture(scope="module")
def run() -> Run:
    return synthetic_run(layers=120, samples=3)


@pytest.fixture(scope="module")
def index(run: Run) -> LayerIndex:
    return LayerIndex(run.layers, run.findings)


def _sqnr(layer: Layer) -> float:
    return layer.accumulated.sqnr_db if layer.accumulated else math.nan


def _local(layer: Layer) -> float:
    return layer.local.sqnr_db if layer.local else math.nan


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", lambda x: True),
        ("op:Conv", lambda x: x.op == "Conv"),
        ("op:conv,CONCAT", lambda x: x.op in ("Conv", "Concat")),
        ("op:C*", lambda x: x.op.startswith("C")),
        ("op!=Conv", lambda x: x.op != "Conv"),
        ("!op:Conv", lambda x: x.op != "Conv"),
        ("sqnr<20", lambda x: _sqnr(x) < 20),
        ("accum>=20", lambda x: _sqnr(x) >= 20),
        ("local<accum", lambda x: _local(x) < _sqnr(x)),
        ("clipped>1%", lambda x: x.clipped is not None and x.clipped > 0.01),
        ("name~cv2", lambda x: "cv2" in x.name),
        ("state:zero_quant", lambda x: x.state == "zero_quant"),
        ("state:zero*", lambda x: x.state.startswith("zero")),
        ("sqnr:none", lambda x: x.accumulated is None),
        ("sqnr:nan", lambda x: x.accumulated is not None and math.isnan(_sqnr(x))),
        ("sqnr:inf", lambda x: _sqnr(x) == math.inf),
        ("shape:1x8x*", lambda x: x.shape[:2] == (1, 8)),
        ("shape~x40x40", lambda x: x.shape[-2:] == (40, 40)),
        ("role:none", lambda x: x.role is None),
        ("kept:yes", lambda x: x.kept),
        ("#>=100", lambda x: x.index >= 100),
        ("op:Conv sqnr<30", lambda x: x.op == "Conv" and _sqnr(x) < 30),
        ("! op:Conv sqnr<30", lambda x: not (x.op == "Conv" and _sqnr(x) < 30)),
        ("MODEL.2/", lambda x: "model.2/" in x.name),
    ],
)
def test_a_word_selects_exactly_these(
    run: Run, index: LayerIndex, text: str, expected: Callable[[Layer], bool]
) -> None:
    assert parse_filter(text).select(index) == [x for x in run.layers if expected(x)]


def test_a_finding_selects_the_layers_it_names_by_slug_or_id(run: Run, index: LayerIndex) -> None:
    finding = next(f for f in run.findings if f.slug == "mixed-range")
    for text in ("finding:mixed-range", "finding:qd301", "finding~mixed"):
        assert {x.index for x in parse_filter(text).select(index)} == set(finding.layers)


def test_a_passed_check_selects_nothing(index: LayerIndex) -> None:
    assert parse_filter("finding:bad-scale").select(index) == []


def test_missing_and_undefined_numbers_satisfy_no_comparison(run: Run) -> None:
    index = LayerIndex(run.layers)
    low = set(map(id, parse_filter("sqnr<0").select(index)))
    high = set(map(id, parse_filter("sqnr>=0").select(index)))
    odd = [x for x in run.layers if math.isnan(_sqnr(x))]
    assert odd
    assert not low & high
    assert all(id(x) not in low | high for x in odd)


def test_brackets_and_question_marks_in_names_mean_themselves(run: Run) -> None:
    layer = dataclasses.replace(run.layers[0], name="layers[0]?")
    index = LayerIndex((layer, dataclasses.replace(layer, name="layers0x")))
    assert parse_filter("name:layers[0]?").select(index) == [layer]
    assert parse_filter("name:layers[*").select(index) == [layer]


def test_quotes_keep_blanks_commas_and_colons(run: Run) -> None:
    layer = dataclasses.replace(run.layers[0], name="my layer, first:0")
    index = LayerIndex((layer, run.layers[1]))
    for text in ('name~"my layer,"', '"layer, first:0"', 'name:"my layer, first:0"'):
        assert parse_filter(text).select(index) == [layer], text


def test_flags_are_found_once_they_are_set(run: Run) -> None:
    index = LayerIndex(run.layers)
    assert parse_filter("is:marked").select(index) == []
    index.flag("marked", {3, 5})
    assert [x.index for x in parse_filter("is:marked").select(index)] == [3, 5]


@pytest.mark.parametrize(
    ("text", "word", "says"),
    [
        ("op:Conv sqrn<20", "sqrn<20", "did you mean sqnr"),
        ("sqnr<abc", "sqnr<abc", "neither a number nor a numeric field"),
        ("sqnr<locl", "sqnr<locl", "did you mean local"),
        ("sqnr<", "sqnr<", "sqnr<20"),
        ("sqnr~20", "sqnr~20", "is a number"),
        ("op<3", "op<3", "is a text"),
        ("sqnr<3,4", "sqnr<3,4", "one value"),
        ('name~"open', 'name~"open', "does not close"),
        ("op:Conv !", "!", "first word"),
        ("zzzzz:1", "zzzzz:1", "fields: sqnr"),
    ],
)
def test_an_error_names_the_word_and_what_was_meant(text: str, word: str, says: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter(text)
    error = caught.value
    assert text[error.start : error.end] == word
    assert says in f"{error.message} {error.hint}"
    assert not error.message.endswith(".")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("sqn", ""),
        ("op:Conv !sta", "op:Conv "),
        ("op:Con", "op:Con*"),
        ("op:Conv ", "op:Conv "),
        ("sqnr<2", "sqnr<2"),
        ("name~cv", "name~cv"),
        ("model.2", "model.2"),
        ('name:"a b"', 'name:"a b"'),
    ],
)
def test_a_word_being_typed_is_given_time(text: str, expected: str) -> None:
    assert while_typing(text) == expected


def test_every_field_can_be_read_from_every_layer(index: LayerIndex) -> None:
    for name, field in FIELDS.items():
        column = index.numbers(name) if field.numeric else index.texts(name)
        assert len(column) == len(index.layers)
