"""``qdebug report`` and ``qdebug diff`` on stored runs, from the command line to the files."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from qdebug.plugins import load_plugin
from qdebug.run.store import load_run
from tests.functional.conftest import Cli
from tests.support import synthetic_run
from tests.support.graphs import SPEC


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with ``old.zip`` (sound) and ``new.zip`` (faulty)."""
    for name, sound in (("old", True), ("new", False)):
        run = synthetic_run(60, samples=2, sound=sound)
        load_plugin("reporters", "zip").write(run, tmp_path / f"{name}.zip")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestReport:
    def test_several_forms_at_once(self, runs: Path, cli: Cli) -> None:
        forms = ("r.html", "r.md", "r.json", "r.csv", "r.junit.xml", "r.sarif", "r.svg")
        given = [word for form in forms for word in ("-o", form)]
        result = cli("report", "new.zip", *given)
        assert (result.code, result.err) == (0, "")
        assert [line.split()[0] for line in result.out.splitlines()] == list(forms)
        assert all((runs / form).stat().st_size > 500 for form in forms)

    def test_the_page_is_a_run_again(self, runs: Path, cli: Cli) -> None:
        assert cli("report", "new.zip", "-o", "r.html", "-q").out == ""
        assert cli("report", "r.html", "-o", "r.json", "-q").code == 0
        stored = json.loads((runs / "r.json").read_text(encoding="utf-8"))
        assert len(stored["layers"]) == 60
        assert cli("show", "r.html").code == 0

    def test_fail_gates_a_pipeline(self, runs: Path, cli: Cli) -> None:
        assert cli("report", "new.zip", "-o", "a.md", "--fail").code == 1
        assert cli("report", "old.zip", "-o", "b.md", "--fail").code == 0

    def test_stdout(self, runs: Path, cli: Cli) -> None:
        result = cli("report", "new.zip", "-o", "-", "--format", "markdown")
        assert result.out.startswith("## ✗ FAIL")
        for bad in (("-o", "-"), ("-o", "-", "--format", "png"), ("-o", "x", "--format", "odd")):
            assert cli("report", "new.zip", *bad).code == 2

    def test_nothing_is_overwritten_unasked(self, runs: Path, cli: Cli) -> None:
        (runs / "r.md").write_text("mine")
        result = cli("report", "new.zip", "-o", "r.md")
        assert result.code == 2
        assert "exists already" in result.err
        assert (runs / "r.md").read_text() == "mine"
        assert cli("report", "new.zip", "-o", "r.md", "--force").code == 0

    def test_bad_requests(self, runs: Path, cli: Cli) -> None:
        for words, told in (
            (("nothing.qdrun", "-o", "r.md"), "does not exist"),
            (("new.zip", "-o", "r.docx"), "no reporter writes"),
            (("new.zip", "-o", "r.onnx"), "needs the float model"),
            (("new.zip", "-o", "r.md", "--redact", "faces"), "cannot redact"),
            (("new.zip",), "required"),
        ):
            result = cli("report", *words)
            assert result.code == 2
            assert told in result.err
            assert "Traceback" not in result.err

    def test_redacted(self, runs: Path, cli: Cli) -> None:
        cli("report", "new.zip", "-o", "r.html", "--redact", "names,paths,images,values")
        text = (runs / "r.html").read_text(encoding="utf-8")
        assert "model.31" not in text
        assert "yolo" not in text
        assert "data:image" not in text
        cli("report", "new.zip", "-o", "a.json", "--anonymize")
        run = load_run(runs / "r.html")
        assert run.layers[5].name == "layer-5"
        names = [layer["name"] for layer in json.loads((runs / "a.json").read_text())["layers"]]
        assert names[0].count("/") == synthetic_run(60).layers[0].name.count("/")

    def test_of_a_real_comparison(self, here: Path, cli: Cli) -> None:
        """The page that ``compare --html`` writes, and an annotated model of the same run."""
        compared = cli("compare", "float.onnx", "quant.onnx", "photo_0.png", "-p", SPEC,
                       "--html", "r.html")  # fmt: skip
        assert compared.code == 0
        assert load_run(here / "r.html").layers
        done = cli("report", "quant.qdrun", "-o", "noted.onnx", "--model", "float.onnx")
        assert (done.code, done.err) == (0, "")
        noted = onnx.load(here / "noted.onnx")
        keys = {item.key for node in noted.graph.node for item in node.metadata_props}
        assert "qdebug.accumulated_sqnr_db" in keys
        wrong = cli("report", "quant.qdrun", "-o", "w.onnx", "--model", "quant.onnx")
        assert wrong.code == 2
        assert "sha256 differs" in wrong.err


class TestDiff:
    def test_a_regression_is_exit_code_1(self, runs: Path, cli: Cli) -> None:
        result = cli("diff", "old.zip", "new.zip")
        assert result.code == 1
        assert result.err == ""
        assert "✗" in result.out.splitlines()[0]
        assert "QD301 mixed-range" in result.out
        back = cli("diff", "new.zip", "old.zip")
        assert back.code == 0
        assert back.out.startswith("✓ no regression")

    def test_limits(self, runs: Path, cli: Cli) -> None:
        lax = ("--layer-loss", "999", "--output-loss", "999", "--floor", "-999")
        result = cli("diff", "old.zip", "new.zip", *lax)
        assert result.code == 1
        assert "1 regression: 1 finding" in result.out or "finding" in result.out.splitlines()[0]

    def test_files(self, runs: Path, cli: Cli) -> None:
        given = ("-o", "d.html", "-o", "d.md", "--json", "d.json")
        assert cli("diff", "old.zip", "new.zip", *given, "-q").code == 1
        assert "REGRESSED" in (runs / "d.html").read_text(encoding="utf-8")
        assert json.loads((runs / "d.json").read_text())["exit_code"] == 1
        again = cli("diff", "old.zip", "new.zip", *given)
        assert again.code == 2
        assert "exists already" in again.err

    def test_json_on_stdout_has_nothing_beside_it(self, runs: Path, cli: Cli) -> None:
        result = cli("diff", "old.zip", "new.zip", "--json", "-")
        assert json.loads(result.out)["schema"] == "qdebug.diff/1"

    def test_quiet_says_nothing_of_success(self, runs: Path, cli: Cli) -> None:
        assert cli("diff", "old.zip", "old.zip", "-q").out == ""

    def test_a_missing_run(self, runs: Path, cli: Cli) -> None:
        result = cli("diff", "old.zip", "nothing.qdrun")
        assert result.code == 2
        assert "does not exist" in result.err
