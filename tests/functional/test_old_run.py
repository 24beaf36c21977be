"""A run that qdebug 0.1.0 wrote is shown, reported, browsed and compared by this version."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from qdebug.plugins import load_plugin, plugin_names
from qdebug.run.model import Run
from qdebug.run.store import load_run, run_to_json
from qdebug.tui.app import Browser
from qdebug.tui.glyphs import UNICODE
from qdebug.tui.settings import Settings
from tests.conftest import ROOT
from tests.functional.conftest import Cli

STORED = ROOT / "tests" / "data" / "qdebug-0.1.0.qdrun.zip"
CLASSIFIER = ROOT / "sample_models" / "classifier"
SPEC = "resize 96x96 cv2 linear | rgb | mean 123.675,116.28,103.53 std 58.395,57.12,57.375 | nchw"
BLAMED = "/features/features.4/dw/act/Clip"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The run; its file is ``old.zip`` in the working directory."""
    shutil.copy(STORED, tmp_path / "old.zip")
    monkeypatch.chdir(tmp_path)
    return load_run(tmp_path / "old.zip")


def test_every_number_of_it_is_read(old: Run) -> None:
    assert old.tool.version == "0.1.0"
    assert (old.verdict.status, len(old.layers), len(old.samples)) == ("fail", 29, 2)
    layer = old.layer(BLAMED)
    assert (layer.index, layer.role) == (12, "source")
    assert all(x.accumulated and x.local and x.sensitivity for x in old.layers[1:])
    assert sum(len(old.arrays.channels(x.index)[0]) for x in old.layers) > 500
    assert all(old.files.read(str(x.thumb)).startswith(b"\x89PNG") for x in old.samples)


def test_written_again_it_has_lost_nothing(old: Run) -> None:
    stored = json.loads(old.files.read("run.json"))
    assert contained(stored, json.loads(run_to_json(old)))


def contained(stored: object, now: object) -> bool:
    """Whether everything stored is still there; fields may have been added."""
    if isinstance(stored, dict) and isinstance(now, dict):
        return all(key in now and contained(stored[key], now[key]) for key in stored)
    if isinstance(stored, list) and isinstance(now, list):
        return len(stored) == len(now) and all(map(contained, stored, now))
    return stored == now


def test_it_is_shown(old: Run, cli: Cli) -> None:
    result = cli("show", "old.zip")
    assert result.err == ""
    assert "FAIL" in result.out
    assert "activation-clipping" in result.out
    filtered = cli("show", "old.zip", "--layers", "role:source cos<0.99")
    assert BLAMED in filtered.out


@pytest.mark.parametrize("name", plugin_names("reporters"))
def test_it_is_reported_in_every_form(old: Run, name: str, cli: Cli) -> None:
    reporter = load_plugin("reporters", name)
    if not reporter.suffixes:
        assert reporter.render(old)
        return
    suffix = reporter.suffixes[0]
    more = ("--model", str(CLASSIFIER / "float.onnx")) if suffix == ".onnx" else ()
    result = cli("report", "old.zip", "-o", f"r{suffix}", *more)
    assert (result.code, result.err) == (0, "")
    assert Path(f"r{suffix}").stat().st_size > 500


def test_its_page_and_its_table_hold_the_same_numbers(old: Run, cli: Cli) -> None:
    assert cli("report", "old.zip", "-o", "r.html", "-o", "r.csv", "-q").code == 0
    assert load_run(Path("r.html")).layers == old.layers
    with Path("r.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    blamed = old.layer(BLAMED)
    assert blamed.local is not None
    assert float(rows[blamed.index]["local_sqnr_db"]) == pytest.approx(blamed.local.sqnr_db)


async def test_it_is_browsed(old: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    app = Browser(None, [Path("old.zip")], Settings(), UNICODE, {})
    async with app.run_test(size=(120, 40)) as pilot:
        while app.page is None:
            await pilot.pause(0.01)
        for key in "12341":
            await pilot.press(key)
            await app.workers.wait_for_complete()
            await pilot.pause()
            strips = app.screen._compositor.render_strips()
            assert "FAIL" in "\n".join(strip.text for strip in strips)


def test_it_is_compared_with_itself(old: Run, cli: Cli) -> None:
    result = cli("diff", "old.zip", "old.zip")
    assert (result.code, result.err) == (0, "")
    assert "no regression" in result.out


@pytest.mark.slow
def test_it_is_compared_with_a_run_of_today(old: Run, cli: Cli) -> None:
    for number, sample in enumerate(old.samples):
        Path(f"{number}.png").write_bytes(old.files.read(str(sample.source)))
    models = (str(CLASSIFIER / "float.onnx"), str(CLASSIFIER / "int8.onnx"))
    made = cli("compare", *models, "0.png", "1.png", "-p", SPEC, "-q", "-o", "new.qdrun")
    assert made.code == 0, made.err
    for form in ("md", "json", "html"):
        result = cli("diff", "old.zip", "new.qdrun", "-o", f"diff.{form}")
        assert (result.code, result.err) == (0, "")
        assert Path(f"diff.{form}").stat().st_size > 500
    told = json.loads(Path("diff.json").read_text(encoding="utf-8"))
    cured = {x["slug"] for x in told["findings"] if x["change"] in ("better", "gone")}
    assert "activation-clipping" in cured
    by_name = {x["name"]: x for x in told["layers"]}
    gained = by_name[BLAMED]["local"]
    assert gained["new"] - gained["old"] > 10
    back = cli("diff", "new.qdrun", "old.zip")
    assert back.code == 1
    assert BLAMED in back.out
