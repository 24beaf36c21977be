"""JUnit, SARIF and Model Explorer: read back by readers of those formats."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any
from xml.etree import ElementTree as ET

import junitparser
import pytest
from sarif_pydantic import Sarif

from qdebug.reporters.junit import junit
from qdebug.reporters.model_explorer import model_explorer
from qdebug.reporters.sarif import sarif
from qdebug.run.model import Run
from qdebug.vocabulary.names import visible
from tests.conftest import Golden
from tests.support import synthetic_run


@pytest.fixture(scope="module")
def run() -> Run:
    return synthetic_run(60, samples=4)


@pytest.fixture(scope="module")
def hostile() -> Run:
    return synthetic_run(60, samples=26, hostile_names=True)


class TestJunit:
    def cases(self, run: Run) -> dict[tuple[str, str], junitparser.TestCase]:
        (suite,) = junitparser.JUnitXml.fromstring(junit.render(run).encode())
        return {(case.classname, case.name): case for case in suite}

    def test_one_case_a_check_and_one_an_output(self, run: Run) -> None:
        cases = self.cases(run)
        assert len(cases) == len(run.findings) + len(run.outputs)
        for finding in run.findings:
            results = cases[f"qdebug.{finding.id}", finding.slug].result
            expected = {
                "fail": junitparser.Failure,
                "error": junitparser.Error,
                "not_applicable": junitparser.Skipped,
            }.get(finding.status)
            assert [type(result) for result in results] == ([expected] if expected else [])

    def test_a_failure_says_what_was_seen_and_what_to_do(self, run: Run) -> None:
        (failure,) = self.cases(run)["qdebug.QD301", "mixed-range"].result
        assert failure.message == "Boxes (0..638) and scores (0..0.94) share one scale"
        assert "seen: scores reach 0.94" in (failure.text or "")
        assert "do: Move the last Concat" in (failure.text or "")
        assert "layer #59" in (failure.text or "")

    def test_an_output_fails_by_the_limits_that_are_printed(self, run: Run) -> None:
        (failure,) = self.cases(run)["qdebug.output", "output0"].result
        assert "limit 20" in failure.message
        assert isinstance(
            self.cases(run)["qdebug.output", "shape_info"].result[0], junitparser.Skipped
        )
        sound = self.cases(synthetic_run(60, samples=4, sound=True))
        assert not sound["qdebug.output", "output0"].result

    def test_the_counts_agree_with_the_cases(self, run: Run) -> None:
        root = ET.fromstring(junit.render(run))
        for element in (root, root[0]):
            assert int(element.get("tests", "")) == len(root.findall(".//testcase"))
            assert int(element.get("failures", "")) == len(root.findall(".//failure"))
            assert int(element.get("errors", "")) == len(root.findall(".//error"))

    def test_hostile_names(self, hostile: Run) -> None:
        root = ET.fromstring(junit.render(hostile))
        name = root[0].get("name")
        assert name == visible(f"{hostile.models.float.file} vs {hostile.models.quant.file}")
        assert root.findall(".//script") == []

    def test_small_run(self, golden: Golden) -> None:
        golden("reporters/report.junit.xml", junit.render(synthetic_run(5, samples=1)))


class TestSarif:
    def log(self, run: Run) -> Any:
        return json.loads(sarif.render(run))

    def test_the_object_model_accepts_it(self, run: Run, hostile: Run) -> None:
        for one in (run, hostile, synthetic_run(1, samples=1, sound=True)):
            log = Sarif.model_validate_json(sarif.render(one))
            assert log.version == "2.1.0"
            assert log.runs[0].tool.driver.name == "qdebug"

    def test_results_are_what_was_seen(self, run: Run) -> None:
        (made,) = self.log(run)["runs"]
        seen = [f for f in run.findings if f.status in ("fail", "warn", "info")]
        assert sorted(r["ruleId"] for r in made["results"]) == sorted(f.id for f in seen)
        levels = {result["ruleId"]: result["level"] for result in made["results"]}
        assert (levels["QD301"], levels["QD302"], levels["QD118"]) == ("error", "warning", "note")
        for result in made["results"]:
            rule = made["tool"]["driver"]["rules"][result["ruleIndex"]]
            assert rule["id"] == result["ruleId"]

    def test_a_crashed_check_is_a_notification(self, run: Run) -> None:
        (invocation,) = self.log(run)["runs"][0]["invocations"]
        (told,) = invocation["toolExecutionNotifications"]
        assert told["descriptor"]["id"] == "QD506"
        assert invocation["exitCode"] == 1

    def test_fingerprints_name_the_same_finding_in_another_run(self, run: Run) -> None:
        def prints(one: Run) -> dict[str, str]:
            results = self.log(one)["runs"][0]["results"]
            return {r["ruleId"]: r["partialFingerprints"]["qdebug/v1"] for r in results}

        first = run.findings[0]
        reworded = dataclasses.replace(first, seen="other numbers", title="other words")
        moved = dataclasses.replace(first, layers=(1, 2))
        others = run.findings[1:]
        assert prints(dataclasses.replace(run, findings=(reworded, *others))) == prints(run)
        after = prints(dataclasses.replace(run, findings=(moved, *others)))
        assert after[first.id] != prints(run)[first.id]
        assert len(set(prints(run).values())) == len(prints(run))

    def test_file_names_are_uris(self, hostile: Run) -> None:
        made = self.log(hostile)["runs"][0]
        for artifact in made["artifacts"]:
            uri = artifact["location"]["uri"]
            assert uri.isascii()
            assert not set(uri) & set('<>"\\ {}|^`[]')

    def test_small_run(self, golden: Golden) -> None:
        golden("reporters/report.sarif", sarif.render(synthetic_run(5, samples=1)))


class TestModelExplorer:
    def test_finite_numbers_by_node(self, run: Run) -> None:
        data = json.loads(model_explorer.render(run))
        for layer in run.layers:
            value = layer.accumulated.sqnr_db if layer.accumulated else math.nan
            if math.isfinite(value):
                assert data["results"][layer.name]["value"] == pytest.approx(value, rel=1e-5)
            else:
                assert layer.name not in data["results"]

    def test_colours_rise_with_the_limit_in_the_middle(self, run: Run) -> None:
        ends = [item["value"] for item in json.loads(model_explorer.render(run))["thresholds"]]
        assert ends == sorted(ends)
        assert ends[1] == 20
        values = json.loads(model_explorer.render(run))["results"].values()
        assert all(item["value"] <= ends[-1] for item in values)

    def test_a_node_with_two_tensors_shows_the_worse(self, run: Run) -> None:
        first, *rest = run.layers
        twin = dataclasses.replace(rest[-1], name=first.name)
        data = json.loads(
            model_explorer.render(dataclasses.replace(run, layers=(first, *rest[:-1], twin)))
        )
        assert twin.accumulated is not None
        assert data["results"][first.name]["value"] == pytest.approx(
            twin.accumulated.sqnr_db, rel=1e-5
        )

    def test_hostile_names_are_keys(self, hostile: Run) -> None:
        results = json.loads(model_explorer.render(hostile))["results"]
        assert hostile.layers[-1].name in results

    def test_small_run(self, golden: Golden) -> None:
        text = model_explorer.render(synthetic_run(5, samples=1))
        golden("reporters/report.model-explorer.json", text)
