"""The report's JavaScript says what the Python says: one table of cases for both."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator
from importlib import resources

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from py_mini_racer import MiniRacer

from qdebug.metrics.metric import METRICS
from qdebug.reporters import ranking
from qdebug.reporters.html.vocabulary_script import vocabulary_script
from qdebug.run.codec import encode
from qdebug.run.filter import FilterError, LayerIndex, parse_filter
from qdebug.run.layer_fields import FIELDS
from qdebug.run.model import Layer, Run
from qdebug.run.store import run_from_json, run_to_json
from qdebug.vocabulary import numbers
from qdebug.vocabulary.names import visible
from qdebug.vocabulary.states import STATE_WORDS
from tests.support import HOSTILE_NAMES, synthetic_run

STATIC = resources.files("qdebug.reporters.html") / "static"

FILTERS = [
    "", "op:Conv", "op:conv,CONCAT", "op:C*", "op=Conv", "op!=Conv", "op!=Conv,Concat", "!op:Conv",
    "op~on", "op~on,ul", "sqnr<20", "accum>=20", "sqnr>1e1", "sqnr>.5e2", "sqnr=inf", "sqnr:inf",
    "sqnr:-inf", "sqnr!=inf", "sqnr:nan", "sqnr=nan", "sqnr:none", "sqnr=NONE", "sqnr:20,inf",
    "local<accum", "local<local", "sens>40", "cos<0.99", "ccos<=0.99", "lcos>0.99", "mse>0.001",
    "rel<0.1", "maxabs>1", "bias>0", "gain<1", "clipped>1%", "clipped>0.01", "clip>0.01%",
    "codes<200", "channel<10", "weight:none", "weight>30", "index<10", "layer=3", "#>=100", "#:1,2",
    "rank=4", "rank<4", "shape:1x*", "shape~x8x", "shape:none",
    "state:zero_quant", "state:zero*", "state!=ok", "role:none", "role:source",
    "role:source,victim", "dtype:none", "dtype:uint8", "paired:qdq", "sample~007", "sample:none",
    "reason~nan", "reason:none", "kept:yes", "kept:no", "finding:mixed-range", "finding:QD3*",
    "finding:none", "is:marked", "!is:marked", "MODEL.2/", "conv", '"conv/Conv"', 'name~"model.1"',
    'name:"/model.*,x"', "tensor~output_0", "tensor:*_dequantizelinear_output", "op:Conv sqnr<30",
    "! op:Conv sqnr<30", "!", "! ", "  op:Conv   index<50 ", "name~[0]", "name~(", "name:*[*]*",
    "name~\\", "x:y:z~", "ÄÖ~", "op:", "op", "sqnr", "sqnr<", "sqnr<x", "sqnr~3", "op<3", "nope:1",
    "index<1,2", "! !", "op:Conv !", '"open', 'name~"open', "sqnr<1_000", "sqnr<0x10", "sqnr<%",
    "sqnr<+20", "sqnr<20.", "local:sqnr", "SQNR<20", "!!op:Conv", "#", "#5", "<20", "constructor:1",
    "toString<1", "name~__proto__", "name~\u202e", "name:two*lines", "名前",
]  # fmt: skip
FILTERS += [f"{field.name}<0.3" for field in FIELDS.values() if field.numeric]
FILTERS += [f"{alias}>0.3" for field in FIELDS.values() if field.numeric for alias in field.aliases]


@pytest.fixture(scope="module")
def engine() -> Iterator[MiniRacer]:
    made = MiniRacer()
    made.eval(str(vocabulary_script()).replace("const layer", "var layer", 1))
    for name in ("filter.js", "numbers.js"):
        made.eval(
            (STATIC / name).read_text(encoding="utf-8").replace("const layer", "var layer", 1)
        )
    yield made
    made.close()


@pytest.fixture(scope="module")
def run() -> Run:
    made = synthetic_run(layers=150, samples=9, hostile_names=True)
    return run_from_json(run_to_json(made), made.files)


@pytest.fixture(scope="module")
def loaded(engine: MiniRacer, run: Run) -> MiniRacer:
    engine.eval(f"var run = {json.dumps(encode(run))};")
    engine.eval("var findings = layerFilter.findingsByLayer(run.findings);")
    engine.eval(
        "var select = (text) => { try { const test = layerFilter.parse(text);"
        " return JSON.stringify(run.layers.filter((x) => test(x, findings)).map((x) => x.index));"
        " } catch (e) { if (!(e instanceof layerFilter.FilterError)) throw e;"
        " return JSON.stringify({ error: e.message }); } };"
    )
    return engine


def python_answer(run: Run, wanted: str) -> object:
    try:
        layers = parse_filter(wanted).select(LayerIndex(run.layers, run.findings))
    except FilterError as error:
        return {"error": error.message}
    return [layer.index for layer in layers]


def unquoted(answer: object) -> object:
    """Python shows a name in single or double quotes as it needs, JavaScript always in single."""
    return (
        {"error": re.sub("[\"'\\\\]", "", answer["error"])} if isinstance(answer, dict) else answer
    )


@pytest.mark.parametrize("wanted", FILTERS)
def test_a_filter_selects_the_same_layers_and_fails_alike(
    loaded: MiniRacer, run: Run, wanted: str
) -> None:
    found = json.loads(str(loaded.eval(f"select({json.dumps(wanted)})")))
    assert unquoted(found) == unquoted(python_answer(run, wanted))


def test_the_table_covers_every_field_and_both_outcomes(run: Run) -> None:
    words = " ".join(FILTERS).lower()
    assert [name for name in FIELDS if not re.search(rf"\b{name}[:~<>=!]", words)] == []
    answers = [python_answer(run, wanted) for wanted in FILTERS]
    assert sum(isinstance(answer, dict) for answer in answers) >= 10
    partial = [a for a in answers if isinstance(a, list) and 0 < len(a) < len(run.layers)]
    assert len(partial) >= 60


def test_both_know_the_same_fields(engine: MiniRacer) -> None:
    names = json.loads(str(engine.eval("JSON.stringify(Object.keys(layerFilter.FIELDS))")))
    assert names == list(FIELDS)
    numeric = "JSON.stringify(Object.values(layerFilter.FIELDS).map((f) => f.numeric))"
    assert json.loads(str(engine.eval(numeric))) == [f.numeric for f in FIELDS.values()]


NUMBERS = [
    None, 0.0, 1.0, -1.0, 0.5, 0.99996, 0.999999996, 0.99999999999, 0.049, -0.04, 0.05, 12.345,
    -33.333, 1234.5, 0.00004, 0.00011, 0.0099, 0.042, 0.9999, 0.98996, 0.99986, 0.9999996, 0.25,
    0.35, -0.25, 1e6, 999950.0, 12345.6, 0.0000123456, 1.5e-7, 1e-10, 1e5, 0.99995, 0.999949,
    math.inf, -math.inf, math.nan,
]  # fmt: skip


@pytest.mark.parametrize("value", NUMBERS, ids=str)
def test_numbers_read_alike(engine: MiniRacer, value: float | None) -> None:
    stored = json.dumps(encode(value))
    for form, write in numbers.WRITERS.items():
        assert engine.eval(f"layerNumbers.FORMS.{form}({stored})") == write(value, None)
    if value is None or math.isnan(value) or value >= 0:
        assert engine.eval(f"layerNumbers.percent({stored})") == numbers.percent(value)


# Of a subnormal number, the two languages know other digits.
@given(
    st.floats(-1, 1, allow_subnormal=False)
    | st.floats(-1e9, 1e9, allow_subnormal=False)
    | st.integers(-4000, 4000).map(lambda n: n / 80)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_number_reads_alike(engine: MiniRacer, value: float) -> None:
    value = float(f"{value:.9g}")
    for form, write in numbers.WRITERS.items():
        assert engine.eval(f"layerNumbers.FORMS.{form}({value!r})") == write(value, None)
    if 0 <= value <= 1:
        assert engine.eval(f"layerNumbers.percent({value!r})") == numbers.percent(value)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_are_spelled_out_alike(engine: MiniRacer, name: str) -> None:
    assert engine.eval(f"layerNumbers.visible({json.dumps(name)})") == visible(name)


def test_layers_rank_and_are_marked_alike(loaded: MiniRacer, run: Run) -> None:
    order = loaded.eval(
        "var named = layerNumbers.namedLayers(run.findings);"
        "var ranked = (layer) => ({layer, rank: layerNumbers.severity(layer, named)});"
        "JSON.stringify(run.layers.map(ranked)"
        ".sort(layerNumbers.bySeverity).map((entry) => entry.layer.index))"
    )
    assert json.loads(str(order)) == [layer.index for layer in ranking.worst_first(run)]
    marks = loaded.eval("JSON.stringify(run.layers.map((x) => layerNumbers.mark(x, 25, named)))")
    named = ranking.named_layers(run)
    assert named

    def mark(layer: Layer) -> list[str]:
        return list(ranking.glyph(layer, 25, named))

    assert json.loads(str(marks)) == [mark(layer) for layer in run.layers]
    assert len({word for _, word in json.loads(str(marks))}) >= 5


def test_states_have_the_same_words(engine: MiniRacer) -> None:
    assert json.loads(str(engine.eval("JSON.stringify(layerNumbers.STATES)"))) == STATE_WORDS


def test_findings_that_tell_how_much_name_no_layers(engine: MiniRacer, run: Run) -> None:
    slugs = ("task-effect", "layer-limit", "mixed-range", "acme-range")
    failed = [
        dataclasses.replace(run.findings[0], slug=s, layers=(i,)) for i, s in enumerate(slugs)
    ]
    changed = dataclasses.replace(run, findings=tuple(failed))
    given = json.dumps(encode(changed)["findings"])
    named = engine.eval(f"JSON.stringify([...layerNumbers.namedLayers({given}).keys()])")
    assert json.loads(str(named)) == list(ranking.named_layers(changed)) == [2, 3]


def test_no_script_lists_metrics_of_its_own() -> None:
    for name in ("filter.js", "numbers.js", "app.js"):
        script = (STATIC / name).read_text(encoding="utf-8")
        named = {m.name for m in METRICS.values() if re.search(rf"\b{m.name}\b", script)}
        assert named <= {"cosine", "sqnr_db"}, name  # a form, and what every table shows first
        assert not [m.title for m in METRICS.values() if f'"{m.title}' in script]
