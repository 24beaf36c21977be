"""The browser driven by its keys."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import pytest
from textual.pilot import Pilot

from qdebug.run.files import MemoryFiles
from qdebug.run.model import Run
from qdebug.tui.filter_bar import FilterBar
from qdebug.tui.glyphs import ASCII
from qdebug.tui.keep_list import FORMS
from qdebug.tui.pages.findings import FindingsPage
from qdebug.tui.pages.layers import LayersPage
from qdebug.tui.settings import Settings
from qdebug.vendors.advice import TOOLCHAINS
from tests.support.synthetic import synthetic_run
from tests.unit.tui.conftest import Open, browser, notes, screen_text, settle


def layers_page(pilot: Pilot[None]) -> LayersPage:
    return pilot.app.query_one(LayersPage)


def here(pilot: Pilot[None]) -> int:
    current = layers_page(pilot).rows.current
    assert current is not None
    return current.index


async def test_it_opens_where_the_verdict_points(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        text = screen_text(pilot)
        assert "FAIL" in text
        assert run.verdict.reason in text
        assert f"{len(run.layers)} of {len(run.layers)}" in text
        failing = next(f for f in run.findings if f.status == "fail")
        assert here(pilot) == failing.layers[0]


async def test_moving_updates_the_detail(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("g", "j", "j", "k")
        assert here(pilot) == 1
        assert f"#1 {run.layers[1].op}" in screen_text(pilot)
        await pilot.press("G")
        assert here(pilot) == run.layers[-1].index
        await pilot.press("pageup", "pagedown", "home")
        assert here(pilot) == 0


async def test_a_filter_works_as_it_is_typed_and_escape_peels(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        expected = sum(layer.op == "Conv" for layer in run.layers)
        await pilot.press("slash", *"op:Conv")
        await pilot.pause()
        assert f"{expected} of {len(run.layers)}" in screen_text(pilot)
        await pilot.press("enter")
        assert "op:Conv" in screen_text(pilot)
        await pilot.press("enter")
        assert layers_page(pilot).has_class("zoomed")
        await pilot.press("escape")
        assert not layers_page(pilot).has_class("zoomed")
        assert layers_page(pilot).rows.shown == expected
        await pilot.press("escape")
        assert layers_page(pilot).rows.shown == len(run.layers)


async def test_escape_while_typing_restores_the_filter_before(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("slash", *"op:Add", "enter", "slash", *" cv1", "escape")
        assert layers_page(pilot).rows.filter.text == "op:Add"
        assert pilot.app.focused is layers_page(pilot).table


async def test_a_wrong_word_is_named_and_the_list_stays(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("slash", *"sqrn<3")
        await pilot.pause()
        text = screen_text(pilot)
        assert "there is no field 'sqrn'" in text
        assert "did you mean sqnr" in text
        assert layers_page(pilot).rows.shown == len(run.layers)


async def test_a_field_being_typed_is_not_looked_for_as_text(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("slash")
        for character in "op:Conv sqnr<":
            await pilot.press("space" if character == " " else character)
            await pilot.pause()
            assert layers_page(pilot).rows.shown > 0


async def test_words_are_completed(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("slash", *"state:zero_q")
        await pilot.pause()
        await pilot.press("tab")
        assert layers_page(pilot).query_one(FilterBar).input.value == "state:zero_quant"


async def test_sources_are_visited_and_backspace_returns(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("F")
        first = here(pilot)
        await pilot.press("n")
        assert here(pilot) > first
        await pilot.press("N")
        assert here(pilot) == first
        await pilot.press("backspace")
        assert here(pilot) > first


async def test_producers_and_consumers_are_followed(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("g", "j", "j", "right_square_bracket")
        assert here(pilot) == run.layers[2].outputs[0]
        await pilot.press("left_square_bracket")
        assert here(pilot) in run.layers[run.layers[2].outputs[0]].inputs


async def test_a_jump_to_a_hidden_layer_clears_the_filter(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        page = layers_page(pilot)
        page.filter("op:Concat")
        page.go_to(1)
        assert here(pilot) == 1
        assert page.rows.shown == len(run.layers)


async def test_every_tab_shows_something_of_every_layer(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        for _ in range(8):
            await pilot.press("tab")
            for row in (0, 3, 7, 11, 15, 19, 23, 27, len(run.layers) - 1):
                layers_page(pilot).table.move_to(row)
                await pilot.pause()
                await pilot.app.workers.wait_for_complete()
                await pilot.pause()
                lines = [line.plain for line in layers_page(pilot).detail.view.lines]
                assert lines
                assert not any("failed on this layer" in line for line in lines), lines


async def test_a_tab_that_fails_says_so_and_the_browser_lives_on(browse: Open, run: Run) -> None:
    broken = dataclasses.replace(run, files=MemoryFiles({"hist.npz": b"no archive"}))
    async with browse(broken) as pilot:
        await pilot.press("L")
        assert "hist.npz is damaged" in screen_text(pilot)
        await pilot.press("j", "tab", "tab")
        assert browser(pilot).is_running


async def test_an_action_that_fails_is_told(
    browse: Open, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with browse(run) as pilot:
        monkeypatch.setattr(LayersPage, "action_mark", lambda _: 1 / 0)
        await pilot.press("m")
        assert "division by zero" in notes(pilot)
        await pilot.press("j")
        assert browser(pilot).is_running


async def test_marks_and_the_outline(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("g", "m", "m", "M")
        assert layers_page(pilot).rows.shown == 2
        await pilot.press("escape", "t", "Z")
        assert layers_page(pilot).rows.row_count < len(run.layers)
        await pilot.press("Z", "t")
        assert layers_page(pilot).rows.row_count == len(run.layers)


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
        assert len(set(titles)) == len(FORMS) == 1 + len(TOOLCHAINS)
        await pilot.press("V", "V", "V", "e")  # from the first back to RKNN's
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


async def test_an_input_that_nothing_checked_is_not_praised(browse: Open) -> None:
    run = dataclasses.replace(synthetic_run(12), findings=())
    async with browse(run, size=(120, 40)) as pilot:
        await pilot.press("3")
        await pilot.pause()
        shown = screen_text(pilot)
    assert "Not checked" in shown
    assert "--fed TENSOR" in shown


async def test_a_layer_of_a_failed_finding_is_not_called_sound(browse: Open) -> None:
    run = synthetic_run(40)
    sound = next(x for x in run.layers if x.role == "sound")
    finding = next(f for f in run.findings if f.slug == "mixed-range")
    blamed = dataclasses.replace(finding, layers=(sound.index,))
    async with browse(dataclasses.replace(run, findings=(blamed,)), size=(120, 40)) as pilot:
        await pilot.pause()
        assert "named by QD301 mixed-range" in screen_text(pilot)


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


async def test_findings_lead_to_their_layers_and_the_place_is_kept(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("2", "enter")
        await pilot.pause()
        finding = next(f for f in run.findings if f.slug == "mixed-range")
        assert layers_page(pilot).rows.filter.text == "finding:mixed-range"
        assert layers_page(pilot).rows.shown == len(finding.layers)
        assert here(pilot) == finding.layers[0]
        await pilot.press("3", "1")
        assert here(pilot) == finding.layers[0]


async def test_passed_checks_are_folded_until_asked_for(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("2")
        assert "Passed (" in screen_text(pilot)
        assert "bad-scale" not in screen_text(pilot)
        await pilot.press("G", "k", "space")
        assert "bad-scale" in screen_text(pilot)


async def test_the_input_comes_first_when_it_failed(browse: Open, input_failed: Run) -> None:
    async with browse(input_failed) as pilot:
        page = browser(pilot).page
        assert page is not None
        assert page.id == "input"
        text = screen_text(pilot)
        assert "channel-order" in text
        assert "Feed RGB" in text
        assert "difference" in text
        assert "▀" in text


async def test_an_input_alarm_stays_in_sight_until_it_was_seen(
    browse: Open, input_failed: Run
) -> None:
    passed = dataclasses.replace(
        input_failed, verdict=dataclasses.replace(input_failed.verdict, gate="int8")
    )
    async with browse(passed) as pilot:
        for key in "124":
            await pilot.press(key)
            assert "input: channel-order" in screen_text(pilot)
        await pilot.press("3", "1")
        assert "input: channel-order" not in screen_text(pilot)


async def test_samples_lead_to_layers(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("4")
        await pilot.pause()
        assert all(sample.name in screen_text(pilot) for sample in run.samples)
        await pilot.press("s", "j", "l", "h", "enter")
        await pilot.pause()
        page = browser(pilot).page
        assert page is not None
        assert page.id == "layers"


async def test_boxes_are_shown_with_the_picture(browse: Open, run: Run) -> None:
    async with browse(run, size=(120, 60)) as pilot:
        await pilot.press("4", "s", "g")
        await pilot.pause()
        text = screen_text(pilot)
        assert "person" in text
        assert "lost" in text


async def test_kept_tensors_are_read_and_inspected(browse: Open, run: Run) -> None:
    kept = next(layer for layer in run.layers if layer.kept)
    async with browse(run) as pilot:
        layers_page(pilot).go_to(kept.index)
        await pilot.press("shift+tab", "full_stop", "ctrl+right", "alt+down")
        await settle(pilot)
        lines = "\n".join(line.plain for line in layers_page(pilot).detail.view.lines)
        assert "channel 1 of" in lines
        assert "row 1, column 1: float" in lines
        expected = run.files.array(f"tensors/float/{kept.index:04}.npy")[0, 1, 1, 1]
        assert f"float {expected:.4g}" in lines
        await pilot.press("v")
        await settle(pilot)
        lines = "\n".join(line.plain for line in layers_page(pilot).detail.view.lines)
        assert "quant (up) over float (across)" in lines


async def test_two_runs_are_compared(browse: Open, tmp_path: Path, run: Run) -> None:
    from qdebug.run.store import RunWriter

    for name, other in (("a", run), ("b", synthetic_run(layers=120, samples=4, sound=True))):
        with RunWriter(tmp_path / f"{name}.qdrun") as writer:
            writer.commit(other, other.arrays)
    paths = (tmp_path / "a.qdrun", tmp_path / "b.qdrun")
    async with browse(paths=paths) as pilot:
        text = screen_text(pilot)
        assert "FAIL" in text
        assert "PASS" in text
        assert "gone" in text
        await pilot.press("enter")
        page = browser(pilot).page
        assert page is not None
        assert page.id == "layers"


async def test_a_damaged_run_leads_to_the_choice(
    browse: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / "bad.qdrun"
    bad.mkdir()
    (bad / "run.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    async with browse(paths=(bad,)) as pilot:
        await pilot.pause()
        assert "is not a qdebug run" in notes(pilot)
        assert "bad.qdrun" in screen_text(pilot)


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40), (200, 60), (20, 6)])
async def test_every_screen_draws_at_every_size(
    browse: Open, run: Run, size: tuple[int, int]
) -> None:
    async with browse(run, size=size) as pilot:
        for key in "1234":
            await pilot.press(key)
            await pilot.pause()
            lines = screen_text(pilot).split("\n")
            assert len(lines) == size[1]


async def test_the_layout_follows_the_terminal(browse: Open, run: Run) -> None:
    async with browse(run, size=(120, 40)) as pilot:
        await pilot.press("G")
        place = here(pilot)
        await pilot.resize_terminal(60, 20)
        await pilot.pause()
        assert not layers_page(pilot).has_class("wide")
        assert here(pilot) == place
        assert run.layers[-1].name[-8:] in screen_text(pilot)


async def test_names_are_shown_as_they_are(browse: Open) -> None:
    hostile = synthetic_run(layers=60, samples=8, hostile_names=True)
    async with browse(hostile, size=(120, 50)) as pilot:
        await pilot.press("G")
        text = screen_text(pilot)
        for name in ("w[bold]x", "a[/b]c", "名前/層/畳み込み", r"two\nlines", r"\x07"):
            assert name in text, name
        for key in "23415":
            await pilot.press(key)
            await pilot.pause()
            assert "\x1b" not in screen_text(pilot)


async def test_ascii_is_ascii(browse: Open, run: Run) -> None:
    async with browse(run, glyphs=ASCII) as pilot:
        for key in ("1", "tab", "tab", "tab", "tab", "tab", "2", "3", "4"):
            await pilot.press(key)
            await pilot.pause()
            assert screen_text(pilot).isascii()


async def test_keys_can_be_remapped_and_help_shows_it(browse: Open, run: Run) -> None:
    settings = Settings(keys={"layers.next_source": "ctrl+n"})
    async with browse(run, settings=settings) as pilot:
        await pilot.press("g", "n")
        before = here(pilot)
        assert before == 0
        await pilot.press("ctrl+n")
        assert here(pilot) > before
        await pilot.press("question_mark")
        await pilot.pause()
        assert "^n" in screen_text(pilot)
        await pilot.press("escape")


async def test_themes_change_what_is_drawn_and_no_color_is_mono(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        before = browser(pilot).look.palette
        await pilot.press("T")
        await pilot.pause()
        assert browser(pilot).theme == "qdebug-light"
        assert browser(pilot).look.palette != before
    async with browse(run, environment={"NO_COLOR": "1"}) as pilot:
        assert browser(pilot).theme == "qdebug-mono"
        assert browser(pilot).look.palette.mono


async def test_the_mouse_selects_sorts_and_switches(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("g")
        table = layers_page(pilot).table
        await pilot.click(table, offset=(12, 4))
        assert here(pilot) == 3
        heading = next(x for x in range(80) if "local" in table.render_line(0).text[x : x + 5])
        await pilot.click(table, offset=(heading + 1, 0))
        assert layers_page(pilot).rows.sort == "local"
        await pilot.click("VerdictBar", offset=(106, 1))
        page = browser(pilot).page
        assert page is not None
        assert page.id in ("input", "findings", "samples")


async def test_the_palette_offers_the_keys(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("ctrl+p")
        await pilot.press(*"last")
        await pilot.pause(0.4)
        await pilot.press("escape", "escape")
        assert browser(pilot).is_running


@pytest.mark.parametrize(("layers", "samples"), [(1, 1), (2, 3)])
async def test_tiny_runs_have_every_screen(browse: Open, layers: int, samples: int) -> None:
    async with browse(synthetic_run(layers=layers, samples=samples)) as pilot:
        for key in ("1", "n", "F", "s", "t", "Z", "2", "3", "4", "l", "enter"):
            await pilot.press(key)
        assert browser(pilot).is_running


async def test_a_run_without_layers_samples_or_findings_opens(browse: Open, run: Run) -> None:
    empty = dataclasses.replace(
        run, layers=(), samples=(), findings=(), outputs=(), files=MemoryFiles()
    )
    async with browse(empty) as pilot:
        for key in (
            "j",
            "n",
            "enter",
            "escape",
            "s",
            "t",
            "y",
            "x",
            "tab",
            "2",
            "3",
            "4",
            "l",
            "1",
        ):
            await pilot.press(key)
        assert "this run has no layers" in screen_text(pilot)


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


async def test_the_command_that_cuts_a_layer_out(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("g", "j", "e")
        await pilot.pause()
        copied = shlex.split(pilot.app.clipboard)
    assert copied[:5] == ["qdebug", "extract", run.models.float.file, run.models.quant.file, "#1"]
    assert copied[copied.index("-p") + 1] == run.preprocess.float.spec
