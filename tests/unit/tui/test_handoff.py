"""What leaves the browser: the keep list, copies, reports."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from qdebug.run.model import Run
from qdebug.tui.keep_list import FORMS
from qdebug.tui.pages.findings import FindingsPage
from qdebug.vendors.advice import advices
from tests.support.synthetic import synthetic_run
from tests.unit.tui.conftest import Open, browser, layers_page, notes, screen_text


async def test_the_keep_list_is_exported(
    browse: Open, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with browse(run) as pilot:
        await pilot.press("G", "x", "k", "x", "x", "X")
        await pilot.pause()
        await pilot.press("e")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
    text = (tmp_path / "keep.json").read_text()
    assert f'"nodes_to_exclude": [\n    "{run.layers[-1].name}"\n  ]' in text
    assert f'"{run.layers[-2].float_tensor}": [' in text
    assert '"quant_type": "QUInt16"' in text


async def test_a_finding_becomes_the_setting_of_a_toolchain(
    browse: Open, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    finding = next(f for f in run.findings if f.slug == "mixed-range")
    async with browse(run) as pilot:
        await pilot.press("2")
        pilot.app.query_one(FindingsPage).select("mixed-range")
        await pilot.press("x", "X")
        assert layers_page(pilot).session.picks == dict.fromkeys(finding.layers, "float")
        await pilot.pause()
        assert f"about {finding.gain_db:.1f} dB" in screen_text(pilot)
        titles = []
        for form in FORMS:
            await pilot.pause()
            titles.append(form.title)
            assert form.title in screen_text(pilot)
            await pilot.press("v")
        assert len(set(titles)) == len(FORMS) == 1 + len(advices())
        back = len(FORMS) - [form.title for form in FORMS].index("RKNN")
        await pilot.press(*["V"] * back, "e")
        await pilot.pause()
        assert "quantization.cfg" in screen_text(pilot)
        await pilot.press("enter")
        await pilot.pause()
    written = (tmp_path / "quantization.cfg").read_text()
    for index in finding.layers:
        assert f"    {run.layers[index].float_tensor}: float16\n" in written


async def test_a_form_without_16_bits_says_so(browse: Open) -> None:
    async with browse(synthetic_run(12)) as pilot:
        await pilot.press("x", "x", "X", "v")
        await pilot.pause()
        assert "does not tell 16 bits" in screen_text(pilot)


async def test_every_layer_of_a_filter_goes_on_the_keep_list(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("A")
        assert browser(pilot).session is not None
        session = layers_page(pilot).session
        assert not session.picks
        await pilot.press("slash", *"finding:mixed-range", "enter", "A")
        finding = next(f for f in run.findings if f.slug == "mixed-range")
        assert session.picks == dict.fromkeys(finding.layers, "float")
        await pilot.press("A")
        assert session.picks == dict.fromkeys(finding.layers, "int16")
        await pilot.press("A")
        assert not session.picks


async def test_copying_puts_markdown_on_the_clipboard(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("G", "y")
        await pilot.pause()
        assert f"**#{run.layers[-1].index} `{run.layers[-1].name}`**" in pilot.app.clipboard
        await pilot.press("2", "y")
        await pilot.pause()
        assert pilot.app.clipboard.startswith("### QD301 mixed-range")
        await pilot.press("1", "e")
        await pilot.pause()
        assert pilot.app.clipboard.startswith("qdebug extract yolo.onnx yolo_int8.onnx '#")


async def test_the_command_that_cuts_a_layer_out(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("g", "j", "e")
        await pilot.pause()
        copied = shlex.split(pilot.app.clipboard)
    assert copied[:5] == ["qdebug", "extract", run.models.float.file, run.models.quant.file, "#1"]
    assert copied[copied.index("-p") + 1] == run.preprocess.float.spec


async def test_what_exists_is_not_replaced(
    browse: Open, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keep.json").write_text("mine")
    async with browse(run) as pilot:
        await pilot.press("x", "X", "e")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert "exists already" in notes(pilot)
    assert (tmp_path / "keep.json").read_text() == "mine"


async def test_the_report_is_told_when_it_is_there(
    browse: Open, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with browse(run) as pilot:
        await pilot.press("H")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        written = list(tmp_path.glob("*.html"))
        assert [f"Wrote {path.name}" in notes(pilot) for path in written] == [True]
