"""The console summary."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from rich.cells import cell_len

from qdebug.errors import UsageError
from qdebug.reporters.console import (
    REPORTER,
    Look,
    Options,
    render,
    render_layers,
    render_unmatched,
)
from qdebug.reporters.console.chart import columns_of
from qdebug.reporters.console.layers import rank
from qdebug.run.model import Evidence, Layer, Limit, OutputResult, Run, Verdict
from tests.conftest import Golden
from tests.support import HOSTILE_NAMES, synthetic_run

_OPTIONS = Options(
    written=["yolo_int8.qdrun  (312 KiB)"], next_commands=["qdebug browse yolo_int8.qdrun"]
)


_ALL = Options(verbose=True)


@pytest.fixture(scope="module")
def run() -> Run:
    return synthetic_run()


@pytest.mark.parametrize(
    ("name", "arguments", "look", "options"),
    [
        ("failed", {}, Look(100), _OPTIONS),
        ("failed_ascii_60", {}, Look(60, ascii_only=True), _OPTIONS),
        ("input_failed_40", {"input_failed": True}, Look(40), _OPTIONS),
        ("sound_verbose", {"sound": True}, Look(100), Options(verbose=True)),
        ("quiet", {}, Look(100), Options(quiet=True)),
        ("accumulated_only", {"local": False, "sensitivity": False}, Look(80), _OPTIONS),
        ("hostile", {"hostile_names": True, "samples": 30}, Look(80), Options(verbose=True)),
        ("one_layer", {"layers": 1, "samples": 1}, Look(100), _OPTIONS),
    ],
)
def test_golden(
    golden: Golden, name: str, arguments: dict[str, Any], look: Look, options: Options
) -> None:
    text = render(synthetic_run(**arguments), look, options).plain
    golden(f"console/{name}.txt", text)


@pytest.mark.parametrize("width", [40, 50, 60, 72, 80, 100, 120])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_no_line_is_wider_than_the_page_and_nothing_hides(width: int, ascii_only: bool) -> None:
    look = Look(width, ascii_only)
    hostile = synthetic_run(hostile_names=True, input_failed=True, samples=30)
    pages = [
        render(hostile, look, Options(verbose=True)),
        render_unmatched(hostile, look),
        render_layers(hostile, "", look),
    ]
    for page in pages:
        for line in page.plain.rstrip("\n").split("\n"):
            assert cell_len(line) <= width, line
            assert line.isprintable()
            assert line.isascii() or not ascii_only
            assert line == line.rstrip()


def test_markup_in_names_is_text(run: Run) -> None:
    hostile = synthetic_run(hostile_names=True)
    text = render_layers(hostile, "", Look(120)).plain
    for name in HOSTILE_NAMES:
        if len(name) < 40 and name.isprintable() and name == name.strip():
            assert name in text
    assert "w[bold]x" in text
    assert "two\\nlines" in text
    assert "\\x1b[31mescape" in text


def test_long_names_lose_their_middle(run: Run) -> None:
    hostile = synthetic_run(hostile_names=True)
    text = render_layers(hostile, "name~abcdefghij", Look(100)).plain
    assert "long/abc" in text
    assert "…" in text
    assert "hij/tail" in text


def test_an_sqnr_is_never_without_its_kind(run: Run) -> None:
    for line in render(run, Look(120), _ALL).plain.splitlines():
        if "SQNR" in line and "(SQNR in dB" not in line:
            assert "ccumulated SQNR" in line or "local SQNR" in line or "deployed SQNR" in line


def test_limits_stand_beside_the_values(run: Run) -> None:
    text = render(run, Look(120), _ALL).plain
    assert "accumulated SQNR 7.8 dB (≥ 20, qdebug.toml)" in text
    assert "accumulated cosine 0.9266 (≥ 0.99)" in text


def test_limits_on_the_task_stand_beside_its_numbers(run: Run) -> None:
    limits = (*run.verdict.limits, Limit("task.iou", 0.95, "min", "flag"))
    verdict = dataclasses.replace(run.verdict, limits=limits)
    text = render(dataclasses.replace(run, verdict=verdict), Look(120), _ALL).plain
    assert "\n         iou 0.93 (≥ 0.95, flag)\n" in text


def test_an_output_begins_with_its_worst_channel_not_with_a_cosine(run: Run) -> None:
    line = next(
        x for x in render(run, Look(120), _ALL).plain.splitlines() if x.startswith("  output0")
    )
    assert line.split("output0")[1].strip().startswith("worst channel 19: accumulated SQNR -1.2 dB")


def test_a_near_perfect_cosine_is_not_rounded_to_one(run: Run) -> None:
    output = run.outputs[0]
    assert output.accumulated is not None
    near = dataclasses.replace(output.accumulated, cosine=0.9999996)
    text = render(
        _with_output(run, dataclasses.replace(output, accumulated=near)), Look(120), _ALL
    ).plain
    assert "accumulated cosine 0.9999996" in text


@pytest.mark.parametrize(
    ("value", "shown"), [(math.inf, "∞ dB"), (-math.inf, "-∞ dB"), (math.nan, "NaN dB")]
)
def test_infinite_and_undefined_outputs(run: Run, value: float, shown: str) -> None:
    output = run.outputs[0]
    assert output.accumulated is not None
    changed = dataclasses.replace(output.accumulated, sqnr_db=value)
    text = render(
        _with_output(run, dataclasses.replace(output, accumulated=changed)), Look(120), _ALL
    )
    assert f"accumulated SQNR {shown}" in text.plain


def test_status_decides_word_and_colour(run: Run) -> None:
    for status, style in (("fail", "bold red"), ("pass", "bold green"), ("warn", "bold yellow")):
        verdict = Verdict(status, "int8", "because")  # type: ignore[arg-type]
        page = render(dataclasses.replace(run, verdict=verdict), Look(100))
        assert page.plain.startswith(f"{status.upper()}  Finds 5 of the float model's 14 objects\n")
        assert any(span.start == 0 and span.style == style for span in page.spans)


def test_the_short_summary_fits_a_small_terminal_and_has_the_fix_to_paste(run: Run) -> None:
    for made in (run, synthetic_run(sound=True), synthetic_run(input_failed=True)):
        lines = render(made, Look(100), _OPTIONS).plain.splitlines()
        assert len(lines) <= 25
        assert lines[-1] == "Next   qdebug browse yolo_int8.qdrun"
    (finding,) = [f for f in run.findings if f.slug == "mixed-range"]
    code = Evidence("code", "RKNN", {"language": "yaml", "text": "custom:\n    a: float16"})
    pasted = dataclasses.replace(finding, evidence=(code,))
    told = render(dataclasses.replace(run, findings=(pasted,)), Look(100)).plain
    assert "       RKNN:\n         custom:\n             a: float16\n" in told
    long = Evidence("code", "RKNN", {"language": "yaml", "text": "a\n" * 40})
    pasted = dataclasses.replace(finding, evidence=(long,))
    told = render(dataclasses.replace(run, findings=(pasted,)), Look(100), _OPTIONS).plain
    assert "RKNN: code to paste with -v\n" in told
    assert len(told.splitlines()) <= 25


def test_a_long_list_of_names_is_cut_and_not_its_gain(run: Run) -> None:
    names = ", ".join(f"`/model.24/Concat_{n}`" for n in range(40))
    first = dataclasses.replace(run.findings[0], advice=f"Keep {names} in float.", gain_db=11.24)
    told = dataclasses.replace(run, findings=(first, *run.findings[1:]))
    shown = render(told, Look(width=100))
    assert "fix    Wins about 11.2 dB (high confidence). Keep `/model.24/Concat_0`" in shown


def test_sources_come_first_then_worst_local_then_largest_drop(run: Run) -> None:
    found = rank(run)
    assert found.title.startswith("Layers where error enters (SQNR in dB;")
    sources = [layer for layer in found.layers if layer.role == "source"]
    assert [layer.index for layer in sources] == [213, 107]

    sound = rank(synthetic_run(sound=True))
    assert "lowest local SQNR" in sound.title
    local = [layer.local.sqnr_db for layer in sound.layers if layer.local]
    assert local == sorted(local)

    blind = rank(synthetic_run(sound=True, local=False))
    assert "local error was not measured" in blind.title
    drops = [_drop(synthetic_run(sound=True, local=False), layer) for layer in blind.layers]
    assert drops == sorted(drops, reverse=True)
    assert min(drops) > 0


def test_layers_that_failed_findings_name_are_sources_and_marked_in_the_chart(run: Run) -> None:
    finding = dataclasses.replace(run.findings[0], layers=(60, 61))
    reading = dataclasses.replace(finding, slug="task-effect", layers=(70,))
    changed = dataclasses.replace(run, findings=(finding, reading))
    assert rank(changed).layers[0].index == 60
    assert 70 not in {layer.index for layer in rank(changed).layers}
    lines = render(changed, Look(100), _ALL).plain.splitlines()
    axis = next(i for i, line in enumerate(lines) if "┴#0" in line)
    assert lines[axis + 1].strip() == "▲"
    assert lines[axis + 2] == "       ▲ named by failed findings: #60"
    assert lines[axis + 1].index("▲") == 7 + 60 * 92 // 213


def test_broken_layers_are_listed_with_their_state(run: Run) -> None:
    assert {"zero_quant", "zero_float", "nonfinite"} <= {x.state for x in rank(run).layers}
    assert "NaN or Inf: 3 values are NaN in the quant run" in render(run, Look(100), _ALL).plain


def test_chart_columns_show_their_worst_layer() -> None:
    layers = list(synthetic_run(100, sound=True).layers[50:])
    columns = columns_of(layers, 7)
    assert len(columns) == 7
    lows = [layer.accumulated.sqnr_db for layer in layers if layer.accumulated]
    assert min(column.worst_db for column in columns) == min(lows)
    assert columns[0].first == 50
    assert len(columns_of(layers, 500)) == len(layers)


def test_filtered_layers(run: Run) -> None:
    text = render_layers(run, "op:Conv sqnr<20", Look(100)).plain
    assert text.splitlines()[-1] == "8 of 214 layers"
    assert render_layers(run, "name:none-such", Look(100)).plain == "0 of 214 layers\n"
    with pytest.raises(UsageError):
        render_layers(run, "sqrn<20", Look(100))


def test_unmatched_tensors_by_reason(run: Run) -> None:
    lines = render_unmatched(run, Look(100)).plain.splitlines()
    assert lines[0] == "2 tensors only in float"
    assert lines[1:3] == [
        "  folded into a constant (1)",
        "    /model.22/Constant_output_0  Constant",
    ]
    empty = dataclasses.replace(run, unpaired=type(run.unpaired)())
    assert render_unmatched(empty, Look(100)).plain == "Every tensor has a counterpart.\n"


def test_commands_to_copy_are_not_broken(run: Run) -> None:
    command = "qdebug browse " + "x" * 90 + ".qdrun"
    text = render(run, Look(40), Options(next_commands=[command])).plain
    assert "x" * 90 + ".qdrun" in text


def test_large_runs_are_summarized_at_once() -> None:
    text = render(synthetic_run(5000, kept=0), Look(100)).plain
    assert len(text.splitlines()) < 80


def test_as_a_report_file(run: Run) -> None:
    text = REPORTER.render(run)
    assert REPORTER.suffixes == (".txt",)
    assert "Both sides resize alike" in text


def _with_output(run: Run, output: OutputResult) -> Run:
    return dataclasses.replace(run, outputs=(output,))


def _drop(run: Run, layer: Layer) -> float:
    levels = [run.layers[i].accumulated for i in layer.inputs]
    before = [m.sqnr_db for m in levels if m is not None and math.isfinite(m.sqnr_db)]
    assert layer.accumulated is not None
    return min(before) - layer.accumulated.sqnr_db


def test_the_work_of_a_table_grows_with_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    safe = Look.safe

    def counted(self: Look, text: str) -> str:
        nonlocal calls
        calls += 1
        return safe(self, text)

    monkeypatch.setattr(Look, "safe", counted)
    found = []
    for layers in (100, 200):
        calls = 0
        render_layers(synthetic_run(layers), "", Look(120))
        found.append(calls)
    assert found[1] <= 2.1 * found[0]
