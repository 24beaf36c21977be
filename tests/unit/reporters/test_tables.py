"""JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import re

import jsonschema
import pytest

from qdebug.metrics.metric import METRICS
from qdebug.reporters.csv_table import COLUMNS
from qdebug.reporters.csv_table import csv as csv_reporter
from qdebug.reporters.markdown import MAX_LINES, code, escaped, markdown
from qdebug.reporters.run_json import json as json_reporter
from qdebug.run.model import Evidence, Run
from qdebug.run.schema import run_schema
from qdebug.run.store import run_from_json
from tests.conftest import Golden
from tests.support import HOSTILE_NAMES, synthetic_run


@pytest.fixture(scope="module")
def hostile() -> Run:
    return synthetic_run(60, samples=26, hostile_names=True)


class TestJson:
    def test_is_the_contract(self, hostile: Run) -> None:
        text = json_reporter.render(hostile)
        jsonschema.Draft202012Validator(run_schema()).validate(json.loads(text))
        assert json_reporter.render(run_from_json(text)) == text

    def test_small_run(self, golden: Golden) -> None:
        golden("reporters/report.json", json_reporter.render(synthetic_run(2, samples=1)))


class TestCsv:
    def rows(self, run: Run) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(csv_reporter.render(run))))

    def test_one_row_a_layer_with_its_numbers(self) -> None:
        run = synthetic_run(60, samples=2)
        rows = self.rows(run)
        assert len(rows) == 60
        assert list(rows[0]) == list(COLUMNS)
        for row, layer in zip(rows, run.layers, strict=True):
            assert row["name"] == layer.name
            if layer.accumulated is None:
                assert row["accumulated_sqnr_db"] == ""
            else:
                read = float(row["accumulated_sqnr_db"])
                expected = layer.accumulated.sqnr_db
                assert read == pytest.approx(expected, rel=1e-8, nan_ok=True)

    def test_infinite_and_missing_numbers(self) -> None:
        rows = self.rows(synthetic_run(60, samples=2))
        values = {row["accumulated_sqnr_db"] for row in rows}
        assert {"inf", "-inf", "nan", ""} <= values

    def test_names_stay_in_their_cell_and_are_no_formula(self, hostile: Run) -> None:
        text = csv_reporter.render(hostile)
        assert "\r" not in text
        assert "\x00" not in text
        assert len(text.splitlines()) == 61
        rows = self.rows(hostile)
        texts = [row[key] for row in rows for key in ("name", "float_tensor", "worst_sample")]
        assert not [cell for cell in texts if cell.startswith(("=", "+", "-", "@", "\t"))]
        assert "'=SUM(A1:A9)" in texts
        assert "quote\" and 'apostrophe' and, comma; semicolon" in texts

    def test_small_run(self, golden: Golden) -> None:
        run = synthetic_run(4, samples=1)
        lacking = {name for name in METRICS if METRICS[name] not in run.metrics}
        columns = [c for c in COLUMNS if not any(c.endswith(f"_{name}") for name in lacking)]
        text = io.StringIO()
        table = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        for row in self.rows(run):
            assert not any(row[column] for column in COLUMNS if column not in columns)
            table.writerow(row)
        golden("reporters/report.csv", text.getvalue())


class TestMarkdown:
    def test_faulty_run(self, golden: Golden) -> None:
        golden("reporters/report.md", markdown.render(synthetic_run(214)))

    def test_hostile_run(self, golden: Golden, hostile: Run) -> None:
        golden("reporters/hostile.md", markdown.render(hostile))

    def test_at_most_sixty_lines_whatever_the_run(self) -> None:
        run = synthetic_run(300, samples=40, input_failed=True)
        many = dataclasses.replace(run, findings=run.findings * 9, outputs=run.outputs * 9)
        text = markdown.render(many)
        assert len(text.splitlines()) <= MAX_LINES
        seen = [f for f in many.findings if f.status in ("fail", "warn", "error")]
        assert f"and {len(seen) - 6} more" in text

    def test_advice_with_line_breaks_stays_on_its_line(self) -> None:
        run = synthetic_run(5)
        first = dataclasses.replace(run.findings[0], advice="a\n\n```\nb\n```\n# c\n" * 30)
        text = markdown.render(dataclasses.replace(run, findings=(first,)))
        assert len(text.splitlines()) <= MAX_LINES
        assert not re.search(r"^(```|# )", text, re.MULTILINE)

    @pytest.mark.parametrize("name", HOSTILE_NAMES)
    def test_a_name_opens_no_markup(self, name: str) -> None:
        shown = escaped(name)
        assert "\n" not in shown
        assert not re.search(r"(?<!\\)[<>`|*\[\]]", shown)
        assert "@" not in shown

    @pytest.mark.parametrize(
        ("text", "span"),
        [
            ("a", "`a`"),
            ("a`b", "``a`b``"),
            ("`a``", "``` `a`` ```"),
            (" ", "`   `"),
            ("a|b", "`a|b`"),
        ],
    )
    def test_code_spans_hold_any_text(self, text: str, span: str) -> None:
        assert code(text) == span

    def test_pipes_in_tables_are_escaped(self) -> None:
        assert code("a|b", in_table=True) == "`a\\|b`"
        run = synthetic_run(60, samples=2, hostile_names=True)
        for line in markdown.render(run).splitlines():
            if line.startswith("| "):
                assert len(re.findall(r"(?<!\\)\|", line)) in (6, 7)

    def test_an_empty_run(self) -> None:
        run = synthetic_run(1, samples=1)
        empty = dataclasses.replace(run, layers=(), outputs=(), findings=(), samples=())
        assert "0 findings, 0 checks passed" in markdown.render(empty)


def test_evidence_with_infinities_is_valid_json() -> None:
    run = synthetic_run(2, samples=1)
    odd = Evidence("bars", "b", {"labels": ["a"], "values": [math.inf], "unit": ""})
    first = dataclasses.replace(run.findings[0], evidence=(odd,))
    text = json_reporter.render(dataclasses.replace(run, findings=(first,)))
    assert json.loads(text)["findings"][0]["evidence"][0]["data"]["values"] == ["inf"]
