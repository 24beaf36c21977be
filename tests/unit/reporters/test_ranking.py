"""The order of layers, and what the input section may claim."""

from __future__ import annotations

import dataclasses

from qdebug.reporters.input_words import input_rows, unchecked
from qdebug.reporters.junit import junit
from qdebug.reporters.markdown import markdown
from qdebug.reporters.ranking import causes, glyph, named_layers, worst_first
from qdebug.run.model import Finding, Run
from qdebug.run.standing import output_channel
from tests.support import synthetic_run


def with_findings(run: Run, *findings: Finding) -> Run:
    return dataclasses.replace(run, findings=findings)


def failed(number: str, slug: str, *layers: int) -> Finding:
    return Finding(number, slug, "fail", "error", slug, "seen", "advice", layers=layers)


def test_what_a_failed_finding_names_comes_first_however_good_its_numbers() -> None:
    run = synthetic_run(40)
    best = max(
        (x for x in run.layers if x.state == "ok" and x.role == "sound"),
        key=lambda x: x.accumulated.sqnr_db if x.accumulated else 0.0,
    )
    named = with_findings(run, failed("QD301", "mixed-range", best.index))
    assert worst_first(named)[0] == best
    assert glyph(best, 20.0, named_layers(named)) == ("✗", "mixed-range")
    assert glyph(best, 20.0, named_layers(with_findings(run))) == ("✓", "ok")


def test_findings_that_show_the_effect_name_no_cause() -> None:
    run = with_findings(
        synthetic_run(12),
        failed("QD602", "task-effect", 11),
        failed("QD901", "few-samples", 3),
        failed("QD301", "mixed-range", 7, 5),
        failed("QD402", "weight-mismatch", 5, 2),
    )
    assert [finding.slug for finding in causes(run)] == ["mixed-range", "weight-mismatch"]
    assert named_layers(run) == {
        7: (0, "mixed-range"),
        5: (1, "mixed-range"),
        2: (2, "weight-mismatch"),
    }


def test_an_input_that_nothing_checked_is_not_called_fine() -> None:
    run = with_findings(synthetic_run(4))
    assert "--fed" in unchecked(run)
    assert input_rows(run) == []


def test_the_input_table_puts_mistakes_first() -> None:
    rows = input_rows(synthetic_run(12, input_failed=True))
    assert rows[0].status == "fail"
    assert {row.status for row in rows} >= {"fail", "pass"}
    assert [row.status for row in rows] == sorted(
        (row.status for row in rows), key=("fail", "error", "warn", "info", "pass").index
    )


def test_the_worst_channel_of_an_output_is_told_where_it_holds_several_values() -> None:
    run = synthetic_run(12)
    output = run.outputs[0]
    worst = output_channel(run, output)
    assert worst is not None
    assert worst == output.worst_channel
    assert output.layer is not None
    flat = dataclasses.replace(run.layers[output.layer], shape=(1, 1000))
    layers = (*run.layers[: output.layer], flat, *run.layers[output.layer + 1 :])
    logits = dataclasses.replace(run, layers=layers)
    assert output_channel(logits, output) is None
    told = f"{worst.index}: {worst.sqnr_db:.1f}"
    for form in (markdown, junit):
        assert told in form.render(run)
        assert told not in form.render(logits)
